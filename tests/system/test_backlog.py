"""A segmenter that was away while events piled up declares nobody silent whose events wait in Kafka."""

from datetime import UTC, datetime, timedelta

import asyncpg
import httpx
import pytest

from tests.system.stack import Stack

pytestmark = [pytest.mark.system, pytest.mark.timeout(240)]

USERS = [f"user-{number}" for number in range(300)]
START = datetime(2026, 3, 1, 9, 0, tzinfo=UTC)
SECOND = timedelta(seconds=1)


async def everybody_acts(stack: Stack, when: str) -> None:
    """Send one event of each user, dated at product time now."""
    at = stack.now().isoformat()
    events = [
        {"id": f"{when}-{user}", "user_id": user, "name": "Used", "timestamp": at} for user in USERS
    ]
    async with httpx.AsyncClient(timeout=30, trust_env=False) as client:
        answer = await client.post(
            f"{stack.ingest_url}/v1/events", json=events, auth=(stack.write_key, "")
        )
    assert answer.json()["accepted"] == len(USERS), answer.text


async def silences(stack: Stack) -> list[str]:
    """Return who was ever declared silent or churned, retracted or not."""
    connection = await asyncpg.connect(stack.database.owner)
    try:
        rows = await connection.fetch(
            "SELECT user_id FROM transitions WHERE after IN ('silent', 'churned')"
        )
    finally:
        await connection.close()
    return [row["user_id"] for row in rows]


async def test_after_an_hour_away_with_a_full_backlog_nobody_is_silent_wrongly(
    stack: Stack,
) -> None:
    """Everybody's last event before the hour is just short of 7 days old; the next one waits."""
    stack.drive(START)
    await everybody_acts(stack, "first")
    stack.advance(SECOND)
    await stack.caught_up()
    stack.drive(START + timedelta(days=7) - timedelta(minutes=30))
    await stack.stop("segmenter")
    for minute in range(
        10, 60, 10
    ):  # an event every ten minutes, from before the deadline to after
        await everybody_acts(stack, f"waiting-{minute}")
        stack.advance(timedelta(minutes=10))
    stack.drive(START + timedelta(days=7, minutes=30))

    await stack.start_service("segmenter")
    await stack.caught_up(START + timedelta(days=7, minutes=29))

    assert await silences(stack) == []


async def test_weeks_away_end_in_the_same_history_as_if_it_had_run_all_along(stack: Stack) -> None:
    stack.drive(START)
    await everybody_acts(stack, "first")
    stack.advance(SECOND)
    await stack.caught_up()
    await stack.stop("segmenter")
    for week in range(1, 5):
        stack.drive(START + timedelta(days=6 * week))
        await everybody_acts(stack, f"week-{week}")
    end = START + timedelta(days=24 + 31)
    stack.drive(end)

    await stack.start_service("segmenter")
    await stack.caught_up(end - SECOND)

    connection = await asyncpg.connect(stack.database.owner)
    rows = await connection.fetch(
        "SELECT after, at, count(*) FROM transitions WHERE retracted_at IS NULL GROUP BY 1, 2"
    )
    await connection.close()
    last = START + timedelta(days=24)
    assert {(row["after"], row["at"]): row["count"] for row in rows} == {
        ("new", START): len(USERS),
        ("active", START + timedelta(days=7)): len(USERS),
        ("silent", last + timedelta(days=7)): len(USERS),
        ("churned", last + timedelta(days=30)): len(USERS),
    }
