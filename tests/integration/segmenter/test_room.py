"""The event log has a partition per day of receipt, the history one per month, made ahead."""

import asyncio
from datetime import UTC, date, datetime, timedelta

import asyncpg
import pytest

from services.segmenter.outbound.partitions import Partitions
from services.segmenter.outbound.profile_store import _room_wanted
from services.segmenter.usecases.ports import NoRoomYet
from tests.integration.lanes.kit import until
from tests.integration.segmenter.kit import START, Site, day, event, lanes_waiting

pytestmark = pytest.mark.postgres


async def partitions(site: Site, table: str) -> set[str]:
    rows = await site.owner.fetch(
        "SELECT relid::regclass::text AS name FROM pg_partition_tree($1) WHERE isleaf", table
    )
    return {row["name"].removeprefix(f"{table}_") for row in rows}


async def test_events_go_into_the_partition_of_the_day_they_were_received(site: Site) -> None:
    await site.fold(event("u", START, received_at=day(1)), event("u", day(1), received_at=day(3)))

    assert await partitions(site, "events") == {"2026_01_06", "2026_01_08"}


async def test_the_months_of_the_thresholds_are_there_before_the_user_gets_there(
    site: Site,
) -> None:
    await site.fold(event("u", datetime(2026, 1, 31, tzinfo=UTC)))

    assert await partitions(site, "transitions") == {"2026_01", "2026_02", "2026_03"}


async def test_a_step_that_a_threshold_puts_on_the_first_of_a_month_has_room(site: Site) -> None:
    """Day and threshold alone end in January: the hours of both reach into February."""
    at = datetime(2026, 1, 24, 23, 0, tzinfo=UTC)
    await site.owner.execute("UPDATE policies SET silent_after = interval '7 days 2 hours'")

    await site.fold(event("u", at))
    await site.sweep(at + timedelta(days=10))

    assert (await site.history())[-1] == (datetime(2026, 2, 1, 1, 0, tzinfo=UTC), "silent")


async def test_an_old_event_makes_room_for_its_old_history(site: Site) -> None:
    await site.fold(event("u", datetime(2019, 6, 20, tzinfo=UTC), received_at=START))

    assert {"2019_06", "2019_07"} <= await partitions(site, "transitions")


async def test_a_dropped_partition_is_made_again_at_the_second_try(site: Site) -> None:
    await site.fold(event("u", START))
    await site.owner.execute("DROP TABLE events_2026_01_05")

    with pytest.raises(NoRoomYet):
        await site.fold(event("v", START))
    await site.fold(event("v", START))

    assert await site.history("v") == [(START, "new")]


async def test_time_that_finds_no_month_for_a_step_has_it_at_the_second_try(site: Site) -> None:
    """No event asks for that month: a policy that came later put the step there."""
    await site.fold(event("u", START))
    await site.owner.execute(
        "INSERT INTO policies VALUES"
        " (2, '7 days', '7 days', '100 days', '7 days', 'a later churn', now(), $1)",
        day(1),
    )

    with pytest.raises(NoRoomYet):
        await site.sweep(day(120))
    await site.sweep(day(120))

    assert await site.history() == [(START, "new"), (day(7), "silent"), (day(100), "churned")]


async def test_who_needs_no_new_room_does_not_wait_for_those_who_do(site: Site) -> None:
    await site.fold(event("u", START))
    async with site.owner.transaction():
        await site.owner.execute("SELECT pg_advisory_xact_lock(hashtext('ebbtide.partitions'))")
        making = asyncio.create_task(site.room.ensure(days=[day(9).date()], months=[]))
        await until(lambda: lanes_waiting(site, 1))

        await site.fold(event("v", START))

        assert not making.done()
    await making
    assert await site.history("v") == [(START, "new")]


async def test_a_failed_batch_leaves_nothing_behind(site: Site) -> None:
    await site.fold(event("u", START))
    await site.owner.execute("DROP TABLE transitions_2026_02")

    with pytest.raises(NoRoomYet):
        await site.sweep(day(40))

    assert await site.history() == [(START, "new")]
    assert (await site.user())["lifecycle"] == "new"
    assert len(await site.messages()) == 1


async def test_two_processes_that_make_the_same_room_at_once_agree(site: Site) -> None:
    others = [Partitions(site.database.segmenter, worker=str(number)) for number in range(3)]
    days = [START.date() + timedelta(days=number) for number in range(5)]

    await asyncio.gather(*(each.ensure(days=days, months=[date(2026, 1, 1)]) for each in others))
    await asyncio.gather(*(each.stop() for each in others))

    assert len(await partitions(site, "events")) == 5


def test_a_missing_partition_is_told_from_a_refusal_in_any_language_of_the_server() -> None:
    missing = asyncpg.CheckViolationError("keine Partition von Relation »events« gefunden")
    refused = asyncpg.CheckViolationError("neue Zeile verletzt Check-Constraint »users_check«")
    refused.constraint_name = "users_check"

    with pytest.raises(NoRoomYet), _room_wanted():
        raise missing
    with pytest.raises(asyncpg.CheckViolationError), _room_wanted():
        raise refused


async def test_what_a_table_refuses_is_no_missing_partition(site: Site) -> None:
    await site.owner.execute("ALTER TABLE events ADD CHECK (user_id <> 'nobody')")

    await site.fold(event("u", START), event("nobody", START))

    assert await site.letters() == {1: ("rejected_by_store", None)}
