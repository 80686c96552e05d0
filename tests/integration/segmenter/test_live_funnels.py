"""Funnels counted by the lanes themselves: from the batch after the definition on, each event once."""

import random
from datetime import date, timedelta

import pytest

from shared.database.connection import Connection
from tests.integration.segmenter.funnel_kit import (
    NAMES,
    Backfill,
    cells_of,
    define,
    expected,
    step,
)
from tests.integration.segmenter.kit import Site, day

pytestmark = pytest.mark.postgres

MINUTE = timedelta(minutes=1)
TODAY = date(2026, 1, 5)


@pytest.mark.parametrize("seed", range(3))
async def test_late_and_repeated_events_of_several_lanes_count_as_the_definition_says(
    site: Site, seed: int
) -> None:
    chance = random.Random(seed)
    events = [
        step(
            f"u{number % 20}",
            day(0) + chance.randrange(60) * 15 * MINUTE,
            chance.choice((*NAMES, "Clicked")),
            event_id=str(number),
            received_at=day(2) + number * MINUTE,
            active=chance.random() < 0.8,
        )
        for number in range(110)
    ]
    given = [*events, *chance.choices(events, k=30)]
    chance.shuffle(given)
    await site.fold(*given[:40])
    funnel = await define(site.owner)
    backfill = Backfill((await site.desk(2)).connection, funnel)

    for start in range(40, len(given), 10):
        await site.fold(*given[start : start + 10], part=start // 10 % 2)
        if not backfill.over:
            await backfill.step()
    await backfill.run()

    assert await cells_of(site.owner, funnel) == expected(events)


async def test_a_batch_that_does_not_commit_counts_nothing(site: Site) -> None:
    funnel = await define(site.owner)

    await site.fold(step("u", day(0), "Viewed"), b"no event")
    await site.fold(step("u", day(0), "Viewed"))

    assert await cells_of(site.owner, funnel) == {(TODAY, 1): 1}
    assert list(await site.letters()) == [1]


async def test_a_funnel_counts_from_the_next_batch_on_and_a_deleted_one_no_more(
    site: Site,
) -> None:
    await site.fold(step("ann", day(0), "Viewed"))
    funnel = await define(site.owner)
    await site.fold(step("bob", day(0), "Viewed"))
    await site.owner.execute("UPDATE funnels SET state = 'deleting'")
    await site.owner.execute("UPDATE funnels_version SET version = gen_random_uuid()")
    await site.fold(step("cy", day(0), "Viewed"))

    assert await site.owner.fetch("SELECT user_id FROM funnel_users") == [("bob",)]
    assert await cells_of(site.owner, funnel) == {(TODAY, 1): 1}


async def statements(connection: Connection, site: Site, name: str, number: int) -> int:
    """Fold an event of a user who is known, and return how many statements that took."""
    asked = 0

    def counted(_query: object) -> None:
        nonlocal asked
        asked += 1

    with connection.query_logger(counted):
        await site.fold(step("u", day(0) + number * MINUTE, name))
    return asked


async def test_a_batch_without_a_step_asks_nothing_for_the_sake_of_funnels(site: Site) -> None:
    connection = (await site.desk()).connection
    await site.fold(step("u", day(0), "Clicked"))
    without = await statements(connection, site, "Clicked", 1)
    await define(site.owner)

    first = await statements(connection, site, "Clicked", 2)
    later = await statements(connection, site, "Clicked", 3)
    await statements(connection, site, "Viewed", 4)  # the driver asks for types, once
    counted = await statements(connection, site, "Viewed", 5)

    assert first == without + 1  # the definitions, once
    assert later == without
    assert counted == without + 2  # lock and write; the user has entered today already
