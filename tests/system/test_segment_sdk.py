"""20,000 events of 2,000 users through the official SDK: every lifecycle is what the oracle says."""

import random
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest

from tests.system import oracle
from tests.system.reader import Reader, reading
from tests.system.sdk import segment_client
from tests.system.stack import Stack

pytestmark = [pytest.mark.system, pytest.mark.timeout(420)]

USERS = 2_000
EVENTS = 20_000
START = datetime(2026, 1, 1, tzinfo=UTC)
# When product time stops for a look. Months pass in between.
STOPS = [START + timedelta(days=days) for days in (12, 45, 80, 120)]
SECOND = timedelta(seconds=1)


@dataclass(frozen=True)
class Act:
    """One event: when it happened, and at which stop the client got to sending it."""

    message_id: str
    user_id: str
    at: datetime
    stop: int


def plan(seed: int) -> list[Act]:
    """Return everybody's events. A tenth are sent a stop late, and none lies on a threshold."""
    draw = random.Random(seed)
    acts = []
    for number in range(EVENTS):
        user = draw.randrange(USERS)
        # Users cluster their activity around a few favourite times, so that gaps of all sizes come up.
        centre = draw.choice([0, 9, 33, 40, 78, 110])
        day = min(119.0, max(0.0, draw.gauss(centre + user % 13, 3)))
        at = START + timedelta(seconds=int(day * 86_400))
        stop = next(index for index, instant in enumerate(STOPS) if at < instant)
        if draw.random() < 0.1:
            stop = min(stop + 1, len(STOPS) - 1)
        acts.append(Act(f"event-{number}", f"user-{user}", at, stop))
    draw.shuffle(acts)
    return acts


def send(stack: Stack, acts: Sequence[Act], seed: int) -> None:
    draw = random.Random(seed)
    with segment_client(stack.ingest_url, stack.write_key) as client:
        for act in acts:
            for _ in range(2 if draw.random() < 0.05 else 1):  # a client that sends twice
                client.track(
                    act.user_id, "Used", {"n": 1}, timestamp=act.at, message_id=act.message_id
                )


async def check(reader: Reader, activity: dict[str, list[datetime]], now: datetime) -> None:
    expected = {user: oracle.lifecycle(sorted(done), now) for user, done in activity.items()}

    assert await reader.lifecycles() == expected
    tiers = await reader.get("/v1/tiers")
    assert tiers["total"] == len(expected)
    assert tiers["lifecycle"] == {
        each: list(expected.values()).count(each) for each in tiers["lifecycle"]
    }


async def test_every_lifecycle_and_history_is_the_oracles_at_every_stop(stack: Stack) -> None:
    acts = plan(seed=11)
    activity: dict[str, list[datetime]] = defaultdict(list)

    async with reading(stack.api_url, stack.api_key) as reader:
        for stop, now in enumerate(STOPS):
            stack.drive(now)
            sent = [act for act in acts if act.stop == stop]
            send(stack, sent, seed=stop)
            for act in sent:
                activity[act.user_id].append(act.at)
            stack.drive(now + SECOND)  # a second on: the watermark stays a little behind the clock
            await stack.caught_up(now)

            await check(reader, activity, now)

        histories = await reader.histories()
        assert sum(user["event_count"] for user in await reader.everything("users")) == EVENTS

    for user, done in activity.items():
        assert histories[user] == oracle.history(sorted(done), STOPS[-1]), user
