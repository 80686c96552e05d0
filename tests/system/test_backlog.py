"""A segmenter that was away while events piled up declares nobody silent whose events wait in Kafka."""

from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import asyncpg
import httpx
import pytest
import pytest_asyncio

from tests.system.stack import Stack

pytestmark = [pytest.mark.system, pytest.mark.timeout(240)]

USERS = [f"user-{number}" for number in range(150)]
# Large events: a fetch is limited in bytes, so that a partition's backlog takes several.
FILLER = "x" * 24_000
START = datetime(2026, 3, 1, 9, 0, tzinfo=UTC)
SECOND = timedelta(seconds=1)


@pytest_asyncio.fixture
async def stack(tmp_path: Path, postgres_url: str) -> AsyncIterator[Stack]:
    """A system of few partitions, so that each one's backlog is large."""
    directory = tmp_path / "stack"
    async with Stack(directory, postgres=postgres_url, partitions=2, begins=START) as running:
        yield running


async def they_act(stack: Stack, when: str, users: Sequence[str] = USERS) -> None:
    """Send one event of each of these users, dated at product time now."""
    at = stack.now().isoformat()
    events = [
        {
            "id": f"{when}-{user}",
            "user_id": user,
            "name": "Used",
            "timestamp": at,
            "properties": {"filler": FILLER},
        }
        for user in users
    ]
    async with httpx.AsyncClient(timeout=30, trust_env=False) as client:
        answer = await client.post(
            f"{stack.ingest_url}/v1/events", json=events, auth=(stack.write_key, "")
        )
    assert answer.json()["accepted"] == len(users), answer.text


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
    """Everybody's last event before the hour is just short of 7 days old; the next ones wait.

    Some act early in that time and some late, so that their events are far apart in the log.
    """
    await they_act(stack, "first")
    stack.advance(SECOND)
    await stack.caught_up()
    stack.drive(START + timedelta(days=7) - timedelta(minutes=55))
    await stack.stop("segmenter")
    for turn in range(5):
        for number in range(5):
            await they_act(stack, f"waiting-{number}", USERS[turn::5])
        stack.advance(timedelta(minutes=10))
    stack.drive(START + timedelta(days=7, minutes=30))

    await stack.start_service("segmenter")
    await stack.caught_up(START + timedelta(days=7, minutes=29))

    assert await silences(stack) == []


async def test_weeks_away_end_in_the_same_history_as_if_it_had_run_all_along(stack: Stack) -> None:
    await they_act(stack, "first")
    stack.advance(SECOND)
    await stack.caught_up()
    await stack.stop("segmenter")
    for week in range(1, 5):
        stack.drive(START + timedelta(days=6 * week))
        await they_act(stack, f"week-{week}")
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
