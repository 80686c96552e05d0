"""Visitors who turn out to be users, over HTTP, with two segmenters of which one is killed again and again."""

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio

from shared.contracts.events import EventEnvelope
from shared.vocabulary import EventType
from tests.integration.segmenter.identity_oracle import homes_of
from tests.system import oracle
from tests.system.reader import reading
from tests.system.stack import Stack

pytestmark = [pytest.mark.system, pytest.mark.timeout(280)]

START = datetime(2026, 3, 1, 9, 0, tzinfo=UTC)
DAY = timedelta(days=1)
SECOND = timedelta(seconds=1)
USERS = [f"user-{number}" for number in range(25)]
VISITORS = [f"visitor-{number}" for number in range(100)]
KILLS = 3


@pytest_asyncio.fixture
async def stack(tmp_path: Path, postgres_url: str) -> AsyncIterator[Stack]:
    async with Stack(
        tmp_path, postgres=postgres_url, segmenters=2, partitions=4, begins=START
    ) as running:
        yield running


def event(number: int, at: datetime, **more: Any) -> dict[str, Any]:
    return {"id": f"e-{number}", "name": "Used", "timestamp": at.isoformat()} | more


def traffic(draw: random.Random) -> list[dict[str, Any]]:
    """Return what everybody does on ten days: visits, sign-ins, also on others' devices, and aliases."""
    found = []
    for number in range(2_000):
        at = START - draw.randrange(10 * 86_400) * SECOND
        kind = draw.random()
        if kind < 0.6:
            found.append(event(number, at, anonymous_id=draw.choice(VISITORS)))
        elif kind < 0.85:
            found.append(event(number, at, user_id=draw.choice(USERS)))
        elif kind < 0.99:
            ids = {"user_id": draw.choice(USERS), "anonymous_id": draw.choice(VISITORS)}
            found.append(event(number, at, type="identify", **ids))
        else:
            new, old = draw.sample(USERS, 2)
            found.append(event(number, at, type="alias", user_id=new, previous_id=old))
    return found


def envelope(sent: dict[str, Any]) -> EventEnvelope:
    return EventEnvelope(
        source="test",
        event_id=sent["id"],
        user_id=sent.get("user_id") or sent["anonymous_id"],
        anonymous_id=sent.get("anonymous_id"),
        previous_id=sent.get("previous_id"),
        type=EventType(sent.get("type", "track")),
        timestamp=datetime.fromisoformat(sent["timestamp"]),
        received_at=START,
    )


async def send(stack: Stack, events: Sequence[dict[str, Any]], *, in_all: int = 50) -> None:
    async with httpx.AsyncClient(timeout=30, trust_env=False) as client:
        for first in range(0, len(events), in_all):
            answer = await client.post(
                f"{stack.ingest_url}/v1/events",
                json=events[first : first + in_all],
                auth=(stack.write_key, ""),
            )
            assert answer.json()["errors"] == [], answer.text


async def kill_again_and_again(stack: Stack) -> None:
    """Kill a segmenter while it folds, and start it anew."""
    for _ in range(KILLS):
        stack.kill("segmenter-2")
        await stack.start_service("segmenter-2")


async def test_visitors_become_users_once_and_whole_whatever_is_killed(stack: Stack) -> None:
    events = traffic(random.Random(7))

    await asyncio.gather(
        send(stack, events[::2]), send(stack, events[1::2]), kill_again_and_again(stack)
    )
    await send(stack, events[:300])  # once more: SDKs do
    stack.drive(START + 60 * DAY)
    await stack.caught_up(START + 60 * DAY - SECOND)

    sent = [envelope(each) for each in events]
    homes = homes_of(sent)
    done: dict[str, list[datetime]] = {}
    for each in sent:
        done.setdefault(homes.get(each.user_id, each.user_id), []).append(each.timestamp)
    async with reading(stack.api_url, stack.api_key) as reader:
        users = {each["user_id"]: each for each in await reader.everything("users")}
        histories = await reader.histories()
        merges = await reader.everything("merges")
        letters = await reader.get("/v1/dead-letters", code="claimed_by_another")
        tiers = await reader.get("/v1/tiers")
        asked = await reader.get(f"/v1/users/{VISITORS[0]}")
    assert {user: each["event_count"] for user, each in users.items()} == {
        user: len(acts) for user, acts in done.items()
    }
    until = START + 60 * DAY - SECOND
    for user, acts in done.items():
        assert histories[user] == oracle.history(sorted(acts), until)
    assert histories.keys() == done.keys()
    assert Counter(tiers["lifecycle"]).total() == len(done)
    latest = {each["absorbed"]: each["into_user"] for each in reversed(merges)}
    assert latest.keys() >= homes.keys()
    assert letters["dead_letters"]
    assert asked["user_id"] == homes.get(VISITORS[0], VISITORS[0])


async def test_the_warning_of_a_visitor_who_is_a_user_resolves(stack: Stack) -> None:
    """Two who name each other are merged once; the other claim is kept with its reason."""
    await send(stack, [event(1, START, anonymous_id="visitor"), event(2, START, user_id="ann")])
    stack.drive(START + 31 * DAY)
    await stack.caught_up(START + 31 * DAY - SECOND)
    async with reading(stack.api_url, stack.api_key) as reader:
        fired = await reader.everything("alerts", state="firing")
    assert {each["user_id"] for each in fired} == {"visitor", "ann"}

    await send(
        stack,
        [
            event(3, stack.now(), type="alias", user_id="ann", previous_id="visitor"),
            event(4, stack.now(), type="alias", user_id="visitor", previous_id="ann"),
        ],
        in_all=1,
    )
    await stack.caught_up(START + 31 * DAY - SECOND)

    async with reading(stack.api_url, stack.api_key) as reader:
        firing = await reader.everything("alerts", state="firing")
        users = await reader.everything("users")
        letters = await reader.get("/v1/dead-letters")
        identities = await reader.get("/v1/users/visitor/identities")
    assert firing == []
    assert [(each["user_id"], each["event_count"]) for each in users] == [("ann", 4)]
    assert [each["code"] for each in letters["dead_letters"]] == ["merge_cycle"]
    assert identities["user_id"] == "ann"
    assert [each["fault"] for each in identities["rejected"]] == ["merge_cycle"]
