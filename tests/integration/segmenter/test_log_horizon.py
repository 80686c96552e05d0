"""What came before the days that the event log still holds is never applied, for it may have been."""

from datetime import datetime

import pytest

from services.segmenter.outbound.partitions import Partitions
from services.segmenter.usecases.fold_events import DUPLICATE_WINDOW
from services.segmenter.usecases.ports import NoRoomYet
from shared.observability import metrics as m
from tests.integration.segmenter.kit import DAY, START, Site, day, event

pytestmark = pytest.mark.postgres

MIDNIGHT = START.replace(hour=0)


async def shorten(site: Site, held_since: datetime) -> None:
    """Drop what came before, as the upkeep does in the end."""
    await site.owner.execute(
        """
        INSERT INTO log_horizon (held_since, raised_at) VALUES ($1, now())
        ON CONFLICT (single) DO UPDATE SET held_since = $1
        """,
        held_since,
    )
    await site.owner.execute("SELECT drop_oldest_events_partition('0') FROM generate_series(1, 9)")
    site.room.forget()


async def test_a_repeat_that_comes_after_its_day_was_dropped_is_refused_not_counted_again(
    site: Site,
) -> None:
    await site.fold(event("u", START))
    await shorten(site, MIDNIGHT + DAY)

    await site.fold(event("u", START))

    assert (await site.user())["event_count"] == 1
    assert await site.letters() == {1: ("older_than_log", "received_at")}
    row = await site.owner.fetchrow("SELECT reason, origin, value FROM dead_letters")
    assert row is not None
    assert row["reason"].startswith("lies before 2026-01-14: the event log holds what came from")
    assert b'"u"' in row["value"]


async def test_a_clients_repeat_a_week_later_is_refused_too_where_its_first_may_be_gone(
    site: Site,
) -> None:
    await site.fold(event("u", START))
    await shorten(site, MIDNIGHT + DAY)

    await site.fold(event("u", START, received_at=day(7)), event("v", day(9)))

    assert (await site.user())["event_count"] == 1
    assert await site.letters() == {1: ("older_than_log", "received_at")}
    assert await site.history("v") == [(day(9), "new")]


async def test_a_repeat_of_what_the_log_still_holds_is_a_repeat_as_ever(site: Site) -> None:
    first = event("u", MIDNIGHT + DAY + DUPLICATE_WINDOW)
    await site.fold(event("u", START), first)
    await shorten(site, MIDNIGHT + DAY)

    await site.fold(first)

    assert (await site.user())["event_count"] == 2
    assert await site.letters() == {}


async def test_a_batch_of_too_old_and_broken_and_good_is_told_apart_when_it_is_halved(
    site: Site,
) -> None:
    """A row that the store refuses makes the lane apply the batch in pieces, decoded anew."""
    await site.fold(event("u", START))
    await shorten(site, MIDNIGHT + DAY)
    await site.owner.execute("ALTER TABLE events ADD CHECK (user_id <> 'nobody')")

    await site.fold(event("u", START), event("nobody", day(10)), b"{", event("v", day(10)))

    assert {offset: code for offset, (code, _) in (await site.letters()).items()} == {
        1: "older_than_log",
        2: "rejected_by_store",
        3: "undecodable",
    }
    assert (await site.user())["event_count"] == 1
    assert await site.history("v") == [(day(10), "new")]


async def test_a_lane_that_has_not_heard_of_the_new_horizon_makes_no_old_day_anew(
    site: Site,
) -> None:
    """It would find no repeat in a new, empty day."""
    await site.fold(event("u", START))
    await site.owner.execute("INSERT INTO log_horizon VALUES (true, $1, now())", MIDNIGHT + DAY)
    await site.owner.execute("SELECT drop_oldest_events_partition('0')")

    with pytest.raises(NoRoomYet):
        await site.fold(event("u", START))
    await site.fold(event("u", START))

    assert (await site.user())["event_count"] == 1
    assert await site.letters() == {1: ("older_than_log", "received_at")}


async def test_the_horizon_never_falls_for_a_process_that_knows_it(site: Site) -> None:
    room = Partitions(site.database.segmenter, worker="test")
    assert await room.horizon() is None
    await site.owner.execute("INSERT INTO log_horizon VALUES (true, $1, now())", MIDNIGHT)

    assert await room.horizon() is None  # read within the last minute
    room.forget()
    assert await room.horizon() == MIDNIGHT
    await site.owner.execute("DELETE FROM log_horizon")
    room.forget()

    assert await room.horizon() == MIDNIGHT
    await room.stop()


async def test_what_is_refused_is_counted(site: Site) -> None:
    await shorten(site, MIDNIGHT)

    applied = await site.fold(event("u", START))
    for then in applied.after_commit:
        then()

    registry = site.lane._metrics.registry
    assert registry.get_sample_value(m.FOLD_EVENTS.name, {"outcome": "refused"}) == 1
