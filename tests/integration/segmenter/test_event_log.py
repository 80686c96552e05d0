"""The upkeep of the event log on a real database: room ahead, old days dropped, nobody held up."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import date, datetime, timedelta

import asyncpg
import pytest
from prometheus_client import CollectorRegistry

from services.segmenter.inbound.log_keeper import KeptFor, LogKeeper
from services.segmenter.outbound import event_log
from services.segmenter.outbound.event_log import EventLog, opened
from services.segmenter.outbound.partitions import HORIZON_S
from services.segmenter.usecases.fold_events import DUPLICATE_WINDOW
from services.segmenter.usecases.keep_log import LogBusy, keep_log
from shared.errors import StoreUnavailable
from shared.observability.metrics import Metrics
from tests.integration.segmenter.kit import DAY, START, Site, day, event

pytestmark = pytest.mark.postgres

TODAY = START.date()
KEEP = timedelta(days=23)
AT_ONCE = timedelta()


class StoppedClock:
    def __init__(self, instant: datetime) -> None:
        self.instant = instant

    def now(self) -> datetime:
        return self.instant


@asynccontextmanager
async def log_of(site: Site, *, patience: timedelta = AT_ONCE) -> AsyncIterator[EventLog]:
    async with opened(site.database.segmenter, worker="test", patience=patience) as log:
        assert log is not None
        yield log


async def days_of(site: Site) -> list[str]:
    rows = await site.owner.fetch("SELECT child::text FROM partitions_of('events') ORDER BY lower")
    return [row["child"].removeprefix("events_") for row in rows]


async def folded_until(site: Site, instant: datetime) -> None:
    """Fold nothing, but let everything up to the instant be folded."""
    await site.fold(now=instant, watermark=instant)


async def test_the_rows_of_the_next_days_and_months_find_room_without_asking(site: Site) -> None:
    async with log_of(site) as log:
        await keep_log(log, now=START, keep_for=None)
    async with site.owner.transaction():
        # Whoever would make anything now waits for this, and in vain.
        await site.owner.execute("SELECT pg_advisory_xact_lock(hashtext('ebbtide.partitions'))")
        await site.fold(event("u", day(3)))
        await site.sweep(day(34))

    assert await site.history() == [(day(3), "new"), (day(10), "silent"), (day(33), "churned")]


async def test_old_days_go_once_the_horizon_has_been_told_for_long_enough(site: Site) -> None:
    await site.fold(*(event("u", day(number)) for number in range(4)))
    await folded_until(site, day(25))

    async with log_of(site, patience=timedelta(hours=1)) as log:
        for _ in range(3):
            assert (await keep_log(log, now=day(25), keep_for=KEEP)).dropped == []
        assert await log.horizon() == date(2026, 1, 7)
    async with log_of(site) as log:
        shortened = await keep_log(log, now=day(25), keep_for=KEEP)

        assert shortened.dropped == ["events_2026_01_05", "events_2026_01_06"]
        assert await log.oldest_day() == date(2026, 1, 7)
    assert await site.count("events") == 2


async def test_days_that_lanes_have_not_got_to_stay_however_late_it_is(site: Site) -> None:
    await site.fold(event("u", START))
    await site.desk(1)  # claimed, and has folded nothing yet
    await folded_until(site, day(600))

    async with log_of(site) as log:
        assert await log.folded_until() is None
        for _ in range(2):
            assert (await keep_log(log, now=day(600), keep_for=KEEP)).dropped == []

    await site.fold(event("v", day(30)), part=1, now=day(600), watermark=day(30))
    async with log_of(site) as log:
        await keep_log(log, now=day(600), keep_for=KEEP)
        assert (await keep_log(log, now=day(600), keep_for=KEEP)).dropped == ["events_2026_01_05"]
    await site.fold(event("v", day(31)), part=1, now=day(600))
    assert await site.letters() == {}


async def test_no_horizon_reaches_into_the_window_in_which_repeats_are_dropped(site: Site) -> None:
    """Whoever asks for it, and whatever the settings say: the promise on the page is kept."""
    await folded_until(site, day(10).replace(hour=0))
    furthest = (day(10) - DUPLICATE_WINDOW).date()

    async with log_of(site) as log:
        with pytest.raises(StoreUnavailable, match="must hold the 8 days before"):
            await log.raise_horizon(furthest + DAY)
        assert await log.horizon() is None
        await log.raise_horizon(furthest)
        assert await log.horizon() == furthest


async def test_no_horizon_is_told_before_anything_is_folded(site: Site) -> None:
    async with log_of(site) as log:
        with pytest.raises(StoreUnavailable, match="nothing yet"):
            await log.raise_horizon(TODAY)


async def test_the_horizon_does_not_fall(site: Site) -> None:
    await folded_until(site, day(100))

    async with log_of(site) as log:
        await log.raise_horizon(TODAY + 20 * DAY)
        await log.raise_horizon(TODAY)

        assert await log.horizon() == TODAY + 20 * DAY


async def test_every_process_has_read_the_horizon_before_a_day_is_dropped_by_it() -> None:
    transaction_timeout = timedelta(seconds=5)

    assert timedelta(seconds=HORIZON_S) + transaction_timeout < event_log.PATIENCE


async def test_only_one_process_looks_after_the_log_and_another_when_that_is_gone(
    site: Site,
) -> None:
    async with log_of(site), opened(site.database.segmenter, worker="second") as second:
        assert second is None
    async with opened(site.database.segmenter, worker="second") as second:
        assert second is not None


async def test_a_day_that_a_lane_is_reading_in_is_put_off_and_lanes_go_on(site: Site) -> None:
    """The one lock that stops lanes is waited for no longer than they could mind."""
    await site.fold(event("u", START))
    await site.room.ensure(days=[day(40).date()], months=[day(40).date()])
    await folded_until(site, day(40))
    async with log_of(site) as log:
        await log.raise_horizon(TODAY + DAY)
        reader = await asyncpg.connect(site.database.owner)
        long_one = reader.transaction()
        await long_one.start()
        await reader.execute("SELECT count(*) FROM events")
        loop = asyncio.get_running_loop()

        async def dropping() -> None:
            with pytest.raises(LogBusy):
                await log.drop_oldest()

        began = loop.time()
        await asyncio.gather(dropping(), site.fold(event("v", day(40))))
        took_s = loop.time() - began

        await long_one.rollback()
        await reader.close()
        assert await log.drop_oldest() == "events_2026_01_05"
    assert took_s < 2.0
    assert await site.history("v") == [(day(40), "new")]


async def test_lanes_in_full_flow_and_drops_get_out_of_each_others_way(site: Site) -> None:
    await site.fold(*(event("old", day(number)) for number in range(12)))
    await folded_until(site, day(60))
    flow = [event(f"u{number}", day(60) + timedelta(seconds=number)) for number in range(60)]

    async with log_of(site) as log:
        await log.raise_horizon(TODAY + 12 * DAY)

        async def drop_all() -> int:
            dropped = 0
            while dropped < 12:
                try:
                    dropped += await log.drop_oldest() is not None
                except LogBusy:
                    continue
            return dropped

        async def fold_all(part: int) -> None:
            for each in flow[part::3]:
                await site.fold(each, part=part)

        dropped, *_ = await asyncio.gather(drop_all(), *(fold_all(part) for part in range(3)))

    assert dropped == 12
    assert (
        await site.owner.fetchval("SELECT sum(event_count) FROM users WHERE user_id <> 'old'") == 60
    )
    assert await site.letters() == {}


async def test_the_keeper_does_all_this_in_its_beats(site: Site) -> None:
    await site.fold(event("u", START))
    await folded_until(site, day(30))
    clock, registry = StoppedClock(day(30)), CollectorRegistry()
    keeper = LogKeeper(
        shelf=lambda: opened(site.database.segmenter, worker="test", patience=AT_ONCE),
        clock=clock,
        keep_for=KeptFor(events=KEEP),
        metrics=Metrics(registry),
    )

    await keeper.beat()
    await keeper.beat()

    assert await days_of(site) == ["2026_02_04", "2026_02_05", "2026_02_06", "2026_02_07"]
    assert registry.get_sample_value("ebbtide_event_log_dropped_partitions_total") == 1


@pytest.mark.parametrize("how", ["DETACH PARTITION events_2026_01_05", "pending"])
async def test_a_day_detached_by_hand_and_not_dropped_stops_no_lane(site: Site, how: str) -> None:
    """It is attached again: what it holds is looked up for repeats as before."""
    await site.fold(event("u", START))
    if how == "pending":
        await _leave_half_detached(site)
    else:
        await site.owner.execute(f"ALTER TABLE events {how}")
    site.room.forget()

    await site.fold(event("u", START), event("v", START))

    assert (await site.user())["event_count"] == 1
    assert await site.history("v") == [(START, "new")]
    assert await site.count("events") == 2
    assert await days_of(site) == ["2026_01_05"]


async def test_a_month_detached_by_hand_stops_no_lane(site: Site) -> None:
    await site.fold(event("u", START))
    await site.owner.execute("ALTER TABLE transitions DETACH PARTITION transitions_2026_01")
    site.room.forget()

    await site.fold(event("v", START))

    assert await site.history("u") == [(START, "new")]
    assert await site.history("v") == [(START, "new")]


async def test_a_table_that_stands_in_a_days_place_and_is_no_day_stops_no_lane(site: Site) -> None:
    await site.owner.execute("CREATE TABLE events_2026_01_05 (note text)")

    await site.fold(event("u", START))
    site.room.forget()
    await site.fold(event("u", START), event("v", START))

    assert (await site.user())["event_count"] == 1
    assert await days_of(site) == ["2026_01_05_beside"]


async def test_a_detached_table_too_big_to_check_is_left_and_the_lane_goes_on(site: Site) -> None:
    """Checking every row would outlast the lane's patience again and again."""
    await site.fold(event("u", START))
    await site.owner.execute("ALTER TABLE events DETACH PARTITION events_2026_01_05")
    smaller = await site.owner.fetchval(
        """
        SELECT replace(pg_get_functiondef(oid), '2 * 1024 ^ 3', '8') FROM pg_proc
        WHERE proname = 'make_partition'
        """
    )
    await site.owner.execute(smaller)
    site.room.forget()

    await site.fold(event("v", START))

    assert await days_of(site) == ["2026_01_05_beside"]
    assert await site.history("v") == [(START, "new")]


async def _leave_half_detached(site: Site) -> None:
    """Interrupt a DETACH … CONCURRENTLY while it waits for a reader, as an impatient operator does."""
    reader, operator = await asyncio.gather(
        asyncpg.connect(site.database.owner), asyncpg.connect(site.database.owner)
    )
    try:
        held = reader.transaction()
        await held.start()
        await reader.execute("SELECT count(*) FROM events")
        await operator.execute("SET lock_timeout = '200ms'")
        with pytest.raises(asyncpg.LockNotAvailableError):
            await operator.execute(
                "ALTER TABLE events DETACH PARTITION events_2026_01_05 CONCURRENTLY"
            )
        await held.rollback()
        pending = await operator.fetchval("SELECT bool_or(inhdetachpending) FROM pg_inherits")
        assert pending is True
    finally:
        await asyncio.gather(reader.close(), operator.close())
