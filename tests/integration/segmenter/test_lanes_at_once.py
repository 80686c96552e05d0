"""Lanes that share users and events fold at the same time: the end is the oracle's all the same."""

import asyncio
import random
from collections.abc import Sequence

import pytest

from shared.contracts.codec import encode
from shared.contracts.events import EventEnvelope
from tests.integration.segmenter.kit import Desk, Site, day, event
from tests.unit.segmenter import oracle
from tests.unit.segmenter.oracle import DEFAULTS

pytestmark = pytest.mark.postgres

PARTS = 3
USERS = [f"user-{number}" for number in range(8)]
RECEIVED = day(100)
END = day(200)


def acts(draw: random.Random) -> list[EventEnvelope]:
    """Return what everybody did, in no order."""
    found = [
        event(user, day(draw.randrange(200) / 2), received_at=RECEIVED, event_id=f"{user}/{number}")
        for user in USERS
        for number in range(10)
    ]
    draw.shuffle(found)
    return found


async def fold_all(desk: Desk, events: Sequence[EventEnvelope], draw: random.Random) -> None:
    """Fold the events in small batches, each with a watermark somewhere."""
    at = 0
    while at < len(events):
        size = draw.randint(1, 12)
        values = [encode(each) for each in events[at : at + size]]
        await desk.fold(values, now=END, watermark=day(draw.randrange(120)))
        at += size


@pytest.mark.parametrize("seed", range(4))
async def test_lanes_that_share_users_and_repeats_end_as_if_one_had_done_it_all(
    site: Site, seed: int
) -> None:
    draw = random.Random(seed)
    events = acts(draw)
    desks = [await site.desk(part) for part in range(PARTS)]
    # Each event comes by one partition, and half of them by a second one.
    shares = [
        [each for index, each in enumerate(events) if index % PARTS == part or index % 4 == part]
        for part in range(PARTS)
    ]
    await site.fold(event("somebody else", day(0), received_at=RECEIVED), now=END)

    await asyncio.gather(
        *(
            fold_all(desk, share, random.Random(f"{seed}/{desk.part}"))
            for desk, share in zip(desks, shares, strict=True)
        )
    )
    # Twice: for who comes by other partitions, too, time passes once those are folded as far.
    for part in (*range(PARTS), *range(PARTS)):
        await site.sweep(END, part=part)

    for user in USERS:
        done = [each.timestamp for each in events if each.user_id == user]
        rows = [row for row in await site.transitions(user) if row["retracted_at"] is None]
        changes = [(row["at"], row["before"], row["after"]) for row in rows]
        assert changes == oracle.history(done, DEFAULTS, END)
        assert (await site.user(user))["event_count"] == len(done)
    assert await site.count("events") == len(events) + 1
    assert await site.letters() == {}
