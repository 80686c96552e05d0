"""Funnels' marks and counts are compared with the event log: what is right is left alone, what is not is mended."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta

import asyncpg
import pytest
import pytest_asyncio
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry

from services.segmenter.domain.calendar import Calendar
from services.segmenter.domain.funnel import Funnels
from services.segmenter.inbound.marks_mender import MOST_STEPS, MarksMender, MarksPlaces
from services.segmenter.outbound.funnel_log import PostgresFunnelLog
from services.segmenter.outbound.funnel_store import PostgresFunnelStore
from services.segmenter.outbound.identity_store import PostgresIdentities
from services.segmenter.outbound.mending_desk import PostgresMendingDesk
from services.segmenter.outbound.rebuild_shadow import PostgresShadow
from services.segmenter.rebuild import Refused
from services.segmenter.usecases.rebuild_ports import CellDifference
from shared.clock import SystemClock
from shared.contracts.events import EventEnvelope
from shared.database.connection import Connection
from shared.errors import StoreUnavailable
from shared.vocabulary import EventType
from tests.integration.segmenter import test_merges_any_script
from tests.integration.segmenter.funnel_kit import (
    NAMES,
    Backfill,
    Cells,
    cells_of,
    define,
    step,
)
from tests.integration.segmenter.kit import ZONE, Site, day, event, lane_in, lanes_waiting
from tests.integration.segmenter.rebuild_kit import beside, rebuilt
from tests.integration.segmenter.test_rebuild_any_script import examples
from tests.integration.segmenter.test_rebuild_short_log import lose

pytestmark = [pytest.mark.postgres, pytest.mark.timeout(280)]

MINUTE = timedelta(minutes=1)
WINDOW = timedelta(hours=20)
IDS = ("ann", "bob", "phone")


async def live_funnel(site: Site) -> int:
    """Define a funnel before anything came that it would have to be counted from."""
    site.lane = lane_in(ZONE, site.room, CollectorRegistry())
    funnel = await define(site.owner, window=WINDOW)
    await site.owner.execute("UPDATE funnels SET state = 'live' WHERE funnel_id = $1", funnel)
    return funnel


@pytest_asyncio.fixture
async def funnel(site: Site) -> int:
    """A live funnel in which three users got to three depths."""
    made = await live_funnel(site)
    await site.fold(
        *(step("ann", day(0) + number * MINUTE, name) for number, name in enumerate(NAMES)),
        *(step("bob", day(0) + number * MINUTE, name) for number, name in enumerate(NAMES[:2])),
        step("cem", day(1), NAMES[0], active=False),
        event("dan", day(1)),
    )
    return made


async def mended(site: Site, funnel: int, counted: Cells) -> None:
    swapped = await rebuilt(site, swap=True)
    assert (swapped.status, swapped.end["left"]) == (0, 0)
    assert (await rebuilt(site)).differences == []
    assert await cells_of(site.owner, funnel) == counted


async def test_what_the_lanes_counted_is_what_the_log_says(site: Site, funnel: int) -> None:
    said = await rebuilt(site)

    assert (said.differences, said.end["funnels_left_out"]) == ([], [])
    shadow = await site.owner.fetch("SELECT user_id, marks FROM rebuild.funnel_users ORDER BY 1")
    stored = await site.owner.fetch("SELECT user_id, marks FROM funnel_users ORDER BY 1")
    assert shadow == stored
    assert len(await cells_of(site.owner, funnel)) == 4


async def test_marks_that_are_gone_are_told_and_made_anew(site: Site, funnel: int) -> None:
    counted = await cells_of(site.owner, funnel)
    await site.owner.execute("DELETE FROM funnel_users WHERE user_id = 'bob'")

    said = await rebuilt(site)

    assert [
        (each["kind"], each["funnel_id"], each["user_id"], each["stored"], each["rebuilt"])
        for each in said.differences
    ] == [
        (
            "funnel_users",
            funnel,
            "bob",
            [],
            ["2026-01-05T12:00:00+00:00 step 1", "2026-01-05T12:01:00+00:00 step 2"],
        )
    ]
    assert (said.status, said.end["marks_differing"], said.end["users_differing"]) == (1, 1, 0)
    await mended(site, funnel, counted)


async def test_marks_of_another_user_are_told_and_mended(site: Site, funnel: int) -> None:
    counted = await cells_of(site.owner, funnel)
    await site.owner.execute(
        "UPDATE funnel_users SET marks = (SELECT marks FROM funnel_users WHERE user_id = 'cem')"
        " WHERE user_id = 'ann'"
    )
    await site.owner.execute(
        "INSERT INTO funnel_users (funnel_id, user_id, marks)"
        " SELECT funnel_id, 'dan', marks FROM funnel_users WHERE user_id = 'bob'"
    )

    said = await rebuilt(site)

    told = {
        each["user_id"]: (len(each["stored"]), len(each["rebuilt"])) for each in said.differences
    }
    assert told == {"ann": (1, 3), "dan": (2, 0)}
    await mended(site, funnel, counted)


async def test_a_wrong_count_is_told_and_mended(site: Site, funnel: int) -> None:
    counted = await cells_of(site.owner, funnel)
    await site.owner.execute("UPDATE funnel_counts SET users = users + 5 WHERE step = 2")

    said = await rebuilt(site)

    assert [
        (each["kind"], each["cell"], each["stored"], each["rebuilt"]) for each in said.differences
    ] == [("funnel_counts", {"funnel_id": funnel, "day": "2026-01-05", "step": 2}, 7, 2)]
    await mended(site, funnel, counted)


async def test_a_funnel_that_is_still_counted_is_left_out_and_named(
    site: Site, funnel: int
) -> None:
    unfinished = await define(site.owner, window=WINDOW)
    await site.fold(step("ann", day(3), NAMES[0]))
    await site.owner.execute("UPDATE funnel_counts SET users = users + 1")

    said = await rebuilt(site, swap=True)

    assert said.end["funnels_left_out"] == [unfinished]
    assert {each["cell"]["funnel_id"] for each in said.differences} == {funnel}
    left = await site.owner.fetch("SELECT funnel_id, users FROM funnel_counts WHERE users = 2")
    assert (unfinished, 2) in {tuple(each) for each in left}


# Before the counts are corrected, and before marks are mended.
MOMENTS = ("correct", "differing_marks")


async def meanwhile(site: Site, moment: str, act: Callable[[], Awaitable[object]]) -> None:
    """Swap, and act at a moment between the look and what it leads to."""
    moments = {moment}

    async def come(this: str) -> None:
        if this in moments:
            moments.remove(this)
            await act()

    class Shadow(PostgresShadow):
        async def correct(self, cells: Sequence[CellDifference], *, zone: str) -> None:
            await come("correct")
            await super().correct(cells, zone=zone)

        async def differing_marks(self, *, behind: str, limit: int) -> Mapping[str, Sequence[int]]:
            await come("differing_marks")
            return await super().differing_marks(behind=behind, limit=limit)

    await rebuilt(site, swap=True, shadow=Shadow)
    assert not moments


async def damage(site: Site) -> None:
    await site.owner.execute("DELETE FROM funnel_users WHERE user_id = 'bob'")
    await site.owner.execute("UPDATE funnel_counts SET users = users + 7")


@pytest.mark.parametrize("moment", MOMENTS)
async def test_of_a_funnel_that_is_removed_meanwhile_nothing_is_left(
    site: Site, funnel: int, moment: str
) -> None:
    await damage(site)

    async def remove() -> None:
        for table in ("funnel_users", "funnel_counts", "funnels"):
            await site.owner.execute(f"DELETE FROM {table} WHERE funnel_id = {funnel}")  # noqa: S608
        await site.owner.execute("UPDATE funnels_version SET version = gen_random_uuid()")

    await meanwhile(site, moment, remove)

    assert await site.count("funnel_users") == 0
    assert await site.count("funnel_counts") == 0


async def test_a_funnel_that_is_counted_anew_meanwhile_is_right_in_the_end(
    site: Site, funnel: int
) -> None:
    counted = await cells_of(site.owner, funnel)
    await damage(site)
    backfill = Backfill(
        (await site.desk(2)).connection, funnel, day_of=Calendar(ZONE).day_of_microsecond
    )

    async def count_anew() -> None:
        await site.owner.execute("SELECT recount_funnels('test', now())")
        await backfill.step()

    await meanwhile(site, "differing_marks", count_anew)
    await backfill.run()

    assert await cells_of(site.owner, funnel) == counted
    assert (await rebuilt(site)).differences == []


@pytest.mark.parametrize("moment", MOMENTS)
async def test_a_funnel_that_is_defined_meanwhile_is_counted_by_the_lanes_alone(
    site: Site, funnel: int, moment: str
) -> None:
    counted = await cells_of(site.owner, funnel)
    await damage(site)

    async def another() -> None:
        await define(site.owner, window=WINDOW)
        await site.fold(step("bob", day(4), NAMES[0]))

    await meanwhile(site, moment, another)

    later = {(day(4).date(), 1): 1}
    assert await cells_of(site.owner, funnel) == counted | later
    assert await cells_of(site.owner, funnel + 1) == later
    assert (await rebuilt(site)).differences == []


async def test_lanes_count_on_while_marks_are_mended_and_nothing_is_lost(site: Site) -> None:
    funnel = await live_funnel(site)
    users = [f"user-{number:02}" for number in range(60)]
    for hours, name in enumerate(NAMES):
        await site.fold(*(step(each, day(0) + hours * 60 * MINUTE, name) for each in users))
    await site.owner.execute("DELETE FROM funnel_users WHERE user_id < 'user-30'")
    await site.owner.execute(
        "UPDATE funnel_users SET marks = (SELECT max(marks) FROM funnel_users), revision = revision + 1"
    )
    await site.owner.execute("UPDATE funnel_counts SET users = users + 9")

    async def go_on(turns: int) -> None:
        """Go on with those who are being mended, and make users of several ids of some."""
        at = day(1) + turns * MINUTE
        some = [users[(turns * 7 + each) % len(users)] for each in range(10)]
        merging = {"type": EventType.IDENTIFY, "anonymous_id": users[turns % len(users)]}
        claim = event(users[turns * 11 % len(users)], at, event_id=f"claim-{turns}", **merging)
        await site.fold(claim, *(step(each, at, NAMES[turns % 3]) for each in some))

    async with beside(go_on):
        swapped = await rebuilt(site, swap=True)

    assert {"funnel_users", "funnel_counts"} <= swapped.kinds.keys()
    assert (await rebuilt(site)).differences == []
    assert await cells_of(site.owner, funnel)


async def test_who_is_claimed_while_their_marks_are_mended_takes_them_along(
    site: Site, funnel: int
) -> None:
    counted = await cells_of(site.owner, funnel)
    await site.owner.execute("DELETE FROM funnel_users WHERE user_id = 'bob'")
    await site.owner.execute(
        "UPDATE funnel_counts SET users = users - 1 WHERE step < 3 AND users > 1"
    )
    says = {"type": EventType.IDENTIFY, "anonymous_id": "bob", "active": False}
    await site.fold(event("eve", day(2)))
    merging: list[asyncio.Task[object]] = []

    class Log(PostgresFunnelLog):
        async def steps_of(
            self, user_ids: Collection[str], *, funnels: Funnels, most: int | None = None
        ) -> Sequence[EventEnvelope]:
            found = await super().steps_of(user_ids, funnels=funnels, most=most)
            merging.append(asyncio.create_task(site.fold(event("eve", day(3), **says))))
            while not await lanes_waiting(site, 1):
                assert not merging[0].done()
            return found

    writing = await asyncpg.connect(site.database.segmenter)

    @asynccontextmanager
    async def transactions() -> AsyncIterator[Connection]:
        async with writing.transaction():
            yield writing

    places = MarksPlaces(
        transactions, PostgresFunnelStore, Log, PostgresMendingDesk, PostgresIdentities
    )
    mender = MarksMender(places, calendar=Calendar(ZONE), clock=SystemClock(), rate=1e6)

    async def noted() -> AsyncIterator[Mapping[str, Sequence[int]]]:
        yield {"bob": [funnel]}

    assert [each async for each in mender.mend_all(noted())] == [("bob", [funnel], True)]

    await writing.close()
    await merging[0]
    rows = await site.owner.fetch("SELECT user_id FROM funnel_users ORDER BY user_id")
    assert [row["user_id"] for row in rows] == ["ann", "cem", "eve"]
    assert await cells_of(site.owner, funnel) == counted


async def test_an_id_that_is_another_users_has_no_marks_whatever_the_log_lost(
    site: Site, funnel: int
) -> None:
    says = {"type": EventType.IDENTIFY, "anonymous_id": "bob", "active": False}
    await site.fold(event("eve", day(2), **says))
    await lose(site, 10)
    counted = await cells_of(site.owner, funnel)
    await site.owner.execute(
        "INSERT INTO funnel_users SELECT funnel_id, 'bob', marks FROM funnel_users WHERE user_id = 'cem'"
    )

    said = await rebuilt(site)

    assert [(each["user_id"], each["rebuilt"]) for each in said.differences] == [("bob", [])]
    await mended(site, funnel, counted)


UNREADABLE = (
    "''",
    r"'\x00'",
    r"decode(repeat('ff', 40), 'hex')",
    r"'\x0100000000000000ffffff7f02'",
)


@pytest.mark.parametrize("marks", UNREADABLE)
async def test_marks_that_can_not_be_read_are_told_and_made_anew(
    site: Site, funnel: int, marks: str
) -> None:
    counted = await cells_of(site.owner, funnel)
    await site.owner.execute(f"UPDATE funnel_users SET marks = {marks} WHERE user_id = 'bob'")  # noqa: S608
    await site.owner.execute(
        f"INSERT INTO funnel_users (funnel_id, user_id, marks) VALUES ({funnel}, 'dan', {marks})"  # noqa: S608
    )

    said = await rebuilt(site)

    assert {
        each["user_id"]: (each["stored"], len(each["rebuilt"])) for each in said.differences
    } == {"bob": ("what can't be read", 2), "dan": ("what can't be read", 0)}
    await mended(site, funnel, counted)


async def test_who_has_more_steps_than_can_be_read_at_once_is_left_and_named_and_others_are_mended(
    site: Site, funnel: int
) -> None:
    await site.owner.execute(
        "INSERT INTO events (source, event_id, received_at, user_id, type, name, timestamp, part, kafka_offset,"
        " payload, active) SELECT source, 'more-' || number, received_at, user_id, type, name, timestamp, part,"
        " kafka_offset, payload, false FROM events, generate_series(1, $1) AS number"
        " WHERE user_id = 'ann' AND name = 'Ordered'",
        MOST_STEPS,
    )
    await site.owner.execute("DELETE FROM funnel_users")

    said = await rebuilt(site, swap=True)

    assert (said.status, said.end["left"], said.end["marks_left"]) == (1, 0, 1)
    assert [each for each in said.lines if each["type"] == "left"] == [
        {"type": "left", "user_id": "ann", "funnel_ids": [funnel]}
    ]
    again = [each for each in (await rebuilt(site)).differences if each["kind"] == "funnel_users"]
    assert [each["user_id"] for each in again] == ["ann"]


async def test_another_zone_counts_funnels_in_its_days(site: Site, funnel: int) -> None:
    await site.owner.execute("INSERT INTO product (zone) VALUES ($1)", str(ZONE))
    counted = await cells_of(site.owner, funnel)

    swapped = await rebuilt(site, swap=True, zone="Pacific/Auckland")

    assert (swapped.status, swapped.end["marks_differing"]) == (0, 0)
    moved = {
        (start + timedelta(days=1), number): users for (start, number), users in counted.items()
    }
    assert await cells_of(site.owner, funnel) == moved
    assert (await rebuilt(site)).differences == []


async def test_the_zone_is_not_changed_while_a_funnel_is_counted_in_the_old_one(
    site: Site, funnel: int
) -> None:
    await site.owner.execute("INSERT INTO product (zone) VALUES ($1)", str(ZONE))
    await site.owner.execute(
        "UPDATE funnels SET state = 'backfilling' WHERE funnel_id = $1", funnel
    )

    with pytest.raises(Refused, match="a new funnel is still counted"):
        await rebuilt(site, swap=True, zone="UTC")

    assert await site.owner.fetchval("SELECT zone FROM product") == str(ZONE)


def some_event(user_id: str, hours: int, name: str, late: int, anonymous_id: str) -> EventEnvelope:
    at = day(0) + timedelta(hours=hours)
    received_at = at + timedelta(hours=late)
    named = f"{user_id}-{hours}-{name}-{late}-{anonymous_id}"
    if anonymous_id in ("", user_id):
        return step(user_id, at, name, received_at=received_at, event_id=named)
    return event(
        user_id,
        at,
        received_at=received_at,
        event_id=named,
        type=EventType.IDENTIFY,
        anonymous_id=anonymous_id,
        active=False,
    )


events = st.builds(
    some_event,
    st.sampled_from(IDS),
    st.integers(0, 9).map(lambda number: number * 8),
    st.sampled_from(NAMES),
    st.sampled_from((0, 0, -20, 30)),
    st.sampled_from(("", "", "", "", *IDS)),
)


@dataclass(frozen=True)
class Script:
    """Batches, before and after the log loses what was received on the first days; 0: it loses nothing."""

    before: Sequence[Sequence[EventEnvelope]]
    days: int
    after: Sequence[Sequence[EventEnvelope]]


batches = st.lists(st.lists(events, max_size=6), min_size=1, max_size=3)
scripts = st.builds(Script, batches, st.sampled_from((0, 0, 1, 2, 3)), batches)

DAMAGES = (
    "UPDATE funnel_counts SET users = users * 2",
    "TRUNCATE funnel_counts",
)
# What happened on the days that the log lost nobody can tell any more.
OF_MARKS = (
    "DELETE FROM funnel_users WHERE user_id <> 'ann'",
    "UPDATE funnel_users SET marks = (SELECT max(marks) FROM funnel_users)",
    "INSERT INTO funnel_users SELECT funnel_id, user_id || '-2', marks FROM funnel_users",
)


async def played(site: Site, script: Script) -> int:
    await test_merges_any_script.clear(site)
    for table in ("log_horizon", "funnel_users", "funnel_counts", "funnels"):
        await site.owner.execute(f"DELETE FROM {table}")  # noqa: S608
    site.room.forget()
    funnel = await live_funnel(site)
    for part, half in enumerate((script.before, script.after)):
        for batch in half:
            with suppress(StoreUnavailable):
                await site.fold(*batch, part=part, now=day(6))
        if part == 0 and script.days:
            await lose(site, script.days)
    return funnel


def test_after_any_script_nothing_differs_and_whatever_is_damaged_a_swap_mends(
    postgres_url: str, database_template: str
) -> None:
    async def holds(site: Site, example: tuple[Script, str, str]) -> None:
        script, damage, of_marks = example
        funnel = await played(site, script)
        assert (await rebuilt(site)).differences == []
        counted = await cells_of(site.owner, funnel)
        await site.owner.execute(damage)
        if not script.days:
            await site.owner.execute(of_marks)

        assert (await rebuilt(site, swap=True)).status == 0

        assert (await rebuilt(site)).differences == []
        assert await cells_of(site.owner, funnel) == counted

    strategy = st.tuples(scripts, st.sampled_from(DAMAGES), st.sampled_from(OF_MARKS))
    examples(postgres_url, database_template, strategy, holds, number=40)
