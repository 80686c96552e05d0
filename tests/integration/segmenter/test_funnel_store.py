"""Funnels counted on a real Postgres: any order, repeats, lanes at once, and ids that turn out to be one."""

import asyncio
import random
from collections.abc import AsyncIterator, Sequence
from datetime import date, timedelta
from typing import Any

import asyncpg
import pytest
import pytest_asyncio

from services.segmenter.outbound.funnel_store import PostgresFunnelStore
from services.segmenter.usecases.fold_funnels import KnownFunnels, add_marks, fold_funnels, marks_in
from services.segmenter.usecases.move_marks import merge_marks, replace_marks
from shared.contracts.events import EventEnvelope
from shared.database import session
from shared.database.connection import Connection
from tests.integration.segmenter.funnel_kit import (
    HOUR,
    NAMES,
    cells_of,
    counting_on,
    define,
    expected,
    step,
)
from tests.integration.segmenter.kit import day
from tests.servers import Database

pytestmark = pytest.mark.postgres

MINUTE = timedelta(minutes=1)
TODAY = date(2026, 1, 5)


@pytest_asyncio.fixture
async def connections(database: Database) -> AsyncIterator[list[Connection]]:
    """Three connections of the segmenter's role, and the owner's."""
    made = [await session.connect(database.segmenter, worker="test") for _ in range(3)]
    owner = await asyncpg.connect(database.owner)
    try:
        yield [*made, owner]
    finally:
        for each in (*made, owner):
            await each.close()


def traffic(chance: random.Random, *, users: int, events: int) -> list[EventEnvelope]:
    """Return events of some days, of which each user has few enough to try all choices of."""
    return [
        step(
            f"u{number % users}",
            day(0) + chance.randrange(0, 60) * 15 * MINUTE,
            chance.choice((*NAMES, "Clicked")),
            event_id=str(number),
        )
        for number in range(events)
    ]


async def fold(connection: Connection, events: Sequence[EventEnvelope], *, shard: int = 0) -> None:
    async with connection.transaction():
        counting = await counting_on(connection, shard=shard)
        await fold_funnels(events, counting, store=PostgresFunnelStore(connection))


@pytest.mark.parametrize("seed", range(5))
async def test_any_order_and_any_repetition_count_as_the_definition_says(
    connections: list[Connection], seed: int
) -> None:
    lane, *_, owner = connections
    funnel = await define(owner)
    chance = random.Random(seed)
    events = traffic(chance, users=8, events=48)
    given = [*events, *chance.choices(events, k=20)]
    chance.shuffle(given)

    for start in range(0, len(given), 7):
        await fold(lane, given[start : start + 7], shard=start % 8)

    assert await cells_of(owner, funnel) == expected(events)


async def test_lanes_that_make_the_same_users_rows_at_once_lose_nothing(
    connections: list[Connection],
) -> None:
    *lanes, owner = connections
    funnel = await define(owner)
    events = traffic(random.Random(7), users=30, events=180)

    for start in range(0, len(events), 60):
        await asyncio.gather(
            *(
                fold(lane, events[start + 20 * index : start + 20 * (index + 1)], shard=index)
                for index, lane in enumerate(lanes)
            )
        )

    assert await cells_of(owner, funnel) == expected(events)


async def test_a_row_that_another_made_meanwhile_is_locked_and_added_to(
    connections: list[Connection],
) -> None:
    """Both look for the row before either makes it."""
    first, second, _, owner = connections
    funnel = await define(owner)
    view, order = step("u", day(0), "Viewed"), step("u", day(0) + MINUTE, "Added")
    counting = await counting_on(first)
    slow = PostgresFunnelStore(second)
    async with first.transaction(), second.transaction():
        await fold_funnels([view], counting, store=PostgresFunnelStore(first))
        waiting = asyncio.create_task(
            add_marks(marks_in([order], counting.funnels, merged={}), counting, store=slow)
        )
        while not await owner.fetchval(
            "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
            " AND datname = current_database()"
        ):
            assert not waiting.done()
        await first.execute("COMMIT; BEGIN")
        await waiting

    assert await cells_of(owner, funnel) == {(TODAY, 1): 1, (TODAY, 2): 1}


async def test_a_step_may_ask_for_a_type_and_for_properties(connections: list[Connection]) -> None:
    lane, *_, owner = connections
    steps: list[dict[str, Any]] = [
        {"event": "Viewed", "type": "track"},
        {"event": "Ordered", "conditions": [{"property": "plan", "equals": "pro"}]},
    ]
    funnel = await define(owner, steps=steps)
    later = day(0) + MINUTE

    await fold(
        lane,
        [
            step("ada", day(0), "Viewed"),
            step("ada", later, "Ordered", properties={"plan": "pro"}),
            step("bob", day(0), "Viewed"),
            step("bob", later, "Ordered", properties={"plan": "free"}),
            step("cy", day(0), "Viewed"),
            step("cy", later, "Ordered", payload=b'{"properties": ["plan"]}'),
        ],
    )

    assert await cells_of(owner, funnel) == {(TODAY, 1): 3, (TODAY, 2): 1}


async def test_ids_that_are_merged_count_as_one_user(connections: list[Connection]) -> None:
    lane, *_, owner = connections
    funnel = await define(owner)
    before = [
        step("anonymous", day(0), "Viewed"),
        step("ada", day(0) + MINUTE, "Viewed"),
        step("ada", day(0) + 2 * MINUTE, "Added"),
        step("anonymous", day(0) + 3 * MINUTE, "Ordered"),
    ]
    await fold(lane, before)
    merged = {"anonymous": "ada"}

    async with lane.transaction():
        await merge_marks(
            "ada", "anonymous", await counting_on(lane), store=PostgresFunnelStore(lane)
        )

    assert await cells_of(owner, funnel) == expected(before, merged=merged)
    assert await owner.fetch("SELECT user_id FROM funnel_users") == [("ada",)]


async def test_what_an_id_did_before_its_user_was_known_goes_to_them(
    connections: list[Connection],
) -> None:
    lane, *_, owner = connections
    funnel = await define(owner)
    before = [step("anonymous", day(0), "Viewed"), step("anonymous", day(0) + MINUTE, "Added")]
    await fold(lane, before)

    async with lane.transaction():
        await merge_marks(
            "ada", "anonymous", await counting_on(lane), store=PostgresFunnelStore(lane)
        )

    assert await cells_of(owner, funnel) == expected(before)
    assert await owner.fetch("SELECT user_id FROM funnel_users") == [("ada",)]


async def test_a_user_is_counted_anew_by_the_events_that_are_theirs(
    connections: list[Connection],
) -> None:
    lane, *_, owner = connections
    funnel = await define(owner)
    theirs = [step("ada", day(0), "Viewed"), step("device", day(0) + MINUTE, "Added")]
    another = [step("bob", day(1), "Viewed"), step("ada", day(2), "Viewed")]
    await fold(lane, [theirs[0], *another])

    async with lane.transaction():
        await replace_marks("ada", theirs, await counting_on(lane), store=PostgresFunnelStore(lane))

    assert await cells_of(owner, funnel) == expected(
        [*theirs, another[0]], merged={"device": "ada"}
    )


async def test_definitions_are_read_again_only_when_they_changed(
    connections: list[Connection],
) -> None:
    lane, *_, owner = connections
    store, known = PostgresFunnelStore(lane), KnownFunnels()
    version = "SELECT version FROM funnels_version"
    first = await known.at(await lane.fetchval(version), store)

    again = await known.at(await lane.fetchval(version), store)
    funnel = await define(owner, window=HOUR)
    changed = await known.at(await lane.fetchval(version), store)
    await owner.execute("UPDATE funnels SET state = 'deleting'")
    await owner.execute("UPDATE funnels_version SET version = gen_random_uuid()")
    left = await known.at(await lane.fetchval(version), store)

    assert again is first
    assert (list(first.by_id), list(changed.by_id), list(left.by_id)) == ([], [funnel], [])


async def test_a_user_with_very_many_events_stays_small_and_is_marked(
    connections: list[Connection],
) -> None:
    lane, *_, owner = connections
    funnel = await define(owner)
    second = timedelta(seconds=1)

    for batch in range(6):
        await fold(
            lane,
            [step("u", day(0) + (batch * 500 + each) * second, "Viewed") for each in range(500)],
        )
    await fold(lane, [step("u", day(0) + 3_000 * second, "Added")])

    row = await owner.fetchrow("SELECT truncated, length(marks) AS size FROM funnel_users")
    assert row is not None
    assert row["truncated"]
    assert row["size"] < 20_000
    assert await cells_of(owner, funnel) == {(TODAY, 1): 1, (TODAY, 2): 1}
