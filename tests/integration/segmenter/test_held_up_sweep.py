"""Users who are due while another lane holds them: left for later, and nobody is told otherwise."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from functools import partial

import pytest

from services.segmenter.domain.calendar import Calendar
from services.segmenter.outbound.profile_store import PostgresStore
from services.segmenter.outbound.user_rows import MOST_SPANS
from services.segmenter.usecases.sweep_deadlines import (
    FIRST_SWEEP,
    SWEEP_LIMIT,
    sweep_deadlines,
)
from services.segmenter.usecases.write_history import Occasion
from shared.database import lease
from shared.observability import metrics as m
from tests.integration.segmenter.kit import DAY, GROUP, START, TOPIC, Site, day, event

pytestmark = pytest.mark.postgres


async def test_no_watermark_is_told_while_a_user_who_is_due_is_in_another_lanes_hands(
    site: Site,
) -> None:
    await site.fold(event("u", START), event("v", START))

    async with in_hand(site, "u"):
        first = await site.sweep(day(8))
        told = await watermark(site)
    second = await site.sweep(day(8))

    assert (first.more_due, first.held_up, told) == (False, True, None)
    assert (second.more_due, second.held_up) == (False, False)
    assert await watermark(site) == day(8)


async def test_a_long_sweep_goes_on_at_once_though_some_of_it_is_held_up(site: Site) -> None:
    users = [f"u{number:05}" for number in range(SWEEP_LIMIT + 7)]
    await site.fold(
        *(event(user, START + timedelta(microseconds=at)) for at, user in enumerate(users)),
        now=day(1),
    )

    async with in_hand(site, users[0]):
        first = await site.sweep(day(8))
        second = await site.sweep(day(8))
        told = await watermark(site)
    await site.sweep(day(8))

    assert (first.more_due, second.more_due, second.held_up) == (True, False, True)
    assert (told, await watermark(site)) == (None, day(8))
    assert await site.history(users[0]) == [(START, "new"), (day(7), "silent")]


async def test_a_sweep_that_gets_nobody_asks_for_no_turn_at_once_however_many_are_due(
    site: Site,
) -> None:
    await site.fold(event("u", START), event("v", START), event("w", day(0.5)))
    connection = (await site.desk()).connection
    store = PostgresStore(connection)

    async with in_hand(site, "u", "v"), connection.transaction():
        swept = await sweep_deadlines(
            occasion=Occasion(0, day(8), day(8), DAY, Calendar(UTC)),
            policies=await store.policies(),
            store=store,
            folded_until=partial(lease.folded_until, connection, GROUP, TOPIC),
            limit=2,
        )

    assert (swept.history.written, swept.more_due, swept.held_up) == ((), False, True)


async def test_a_sweep_takes_fewer_users_where_they_have_very_many_spans(site: Site) -> None:
    """To reckon with all at once would take longer than a transaction may, however often it is tried."""
    await site.owner.execute("UPDATE policies SET silent_after = '1 hour', churned_after = '1 day'")
    often = [START + number * timedelta(hours=2) for number in range(MOST_SPANS // 2)]
    await site.fold(*(event(user, at) for user in "uvw" for at in (START, often[-1])))
    await site.owner.execute(
        "UPDATE users SET earlier_spans = $1, span_start = $2, last_seen = $2",
        [at for start in often[:-1] for at in (start, start)],
        often[-1],
    )
    until = often[-1] + timedelta(hours=2)

    first = await site.sweep(until)
    took = await site.count("users WHERE lifecycle = 'silent'")
    second = await site.sweep(until)

    assert (took, first.more_due, second.more_due) == (2, True, False)
    assert await site.count("users WHERE lifecycle = 'silent'") == 3


@asynccontextmanager
async def in_hand(site: Site, *users: str) -> AsyncIterator[None]:
    """Hold the users as a lane does that folds their events."""
    folding = site.owner.transaction()
    await folding.start()
    await site.owner.execute("SELECT FROM users WHERE user_id = ANY ($1) FOR UPDATE", users)
    yield
    await folding.rollback()


async def watermark(site: Site) -> datetime | None:
    told: datetime | None = await site.owner.fetchval("SELECT watermark FROM consumer_partition")
    return told


async def test_a_lane_whose_turn_it_is_not_takes_little_of_what_is_due(site: Site) -> None:
    users = [f"u{number:05}" for number in range(FIRST_SWEEP + 7)]
    await site.fold(*(event(each, START) for each in users))

    desk = await site.desk(0)
    little = await desk.fold([], now=day(8), watermark=day(8), may_catch_up=False)
    rest = await desk.fold([], now=day(8), watermark=day(8), may_catch_up=True)

    assert (little.more_due, len(little.messages)) == (True, FIRST_SWEEP)
    assert (rest.more_due, len(rest.messages)) == (False, 7)


async def test_a_sweep_tells_how_far_it_is_behind_while_more_is_due(site: Site) -> None:
    await site.fold(*(event(f"u{number:05}", START) for number in range(FIRST_SWEEP + 1)))
    desk = await site.desk(0)

    told = []
    for _ in range(2):
        applied = await desk.fold([], now=day(9), watermark=day(9), may_catch_up=False)
        for then in applied.after_commit:
            then()
        told.append(site.registry.get_sample_value(m.SWEEP_BEHIND_SECONDS.name, {"partition": "0"}))

    assert told == [timedelta(days=2).total_seconds(), 0]
