"""A funnel defined while events come: in the end it counts what was there, what came, and nothing twice."""

import asyncio
import random
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta

import asyncpg
import pytest
import pytest_asyncio

from services.segmenter.outbound.funnel_store import PostgresFunnelStore
from services.segmenter.usecases import backfill_funnel
from services.segmenter.usecases.move_marks import merge_marks
from shared.contracts.events import EventEnvelope
from shared.database import session
from shared.database.connection import Connection
from tests.integration.segmenter.funnel_kit import (
    NAMES,
    Backfill,
    append,
    cells_of,
    counting_on,
    define,
    expected,
    make_room,
    step,
)
from tests.integration.segmenter.kit import day
from tests.servers import Database

pytestmark = pytest.mark.postgres

MINUTE = timedelta(minutes=1)


@dataclass
class Place:
    """A database with a lane, a job and its owner on it."""

    lane: Connection
    job: Connection
    owner: Connection

    async def append(self, *events: EventEnvelope) -> None:
        async with self.lane.transaction():
            await append(self.lane, events)

    async def state(self) -> str:
        found: str = await self.owner.fetchval("SELECT state FROM funnels")
        return found


@pytest_asyncio.fixture
async def place(database: Database) -> AsyncIterator[Place]:
    lane, job = [await session.connect(database.segmenter, worker="test") for _ in range(2)]
    owner = await asyncpg.connect(database.owner)
    await make_room(owner, [step("u", day(number), "Viewed") for number in range(5)])
    try:
        yield Place(lane, job, owner)
    finally:
        for each in (lane, job, owner):
            await each.close()


def traffic(chance: random.Random, number: int) -> list[EventEnvelope]:
    events = []
    for each in range(number):
        happened = day(0) + chance.randrange(0, 80) * 15 * MINUTE
        events.append(
            step(
                f"u{each % (number // 5)}",
                happened,
                chance.choice((*NAMES, "Clicked")),
                event_id=str(each),
                received_at=day(chance.randrange(0, 4)),
            )
        )
    return events


async def add_user(owner: Connection, user_id: str, *, merged_into: str | None = None) -> None:
    await owner.execute(
        """
        INSERT INTO users (user_id, part, first_seen, last_seen, span_start, lifecycle, lifecycle_since,
                           known_at, policy_version, updated_at, merged_into)
        VALUES ($1, 0, now(), now(), now(), 'new', now(), now(), 1, now(), $2)
        """,
        user_id,
        merged_into,
    )


@pytest.mark.parametrize("seed", range(4))
async def test_what_was_in_the_log_and_what_comes_meanwhile_count_once(
    place: Place, seed: int
) -> None:
    chance = random.Random(seed)
    events = traffic(chance, 120)
    before, meanwhile = events[:60], events[60:]
    await place.append(*before)
    funnel = await define(place.owner)
    backfill = Backfill(place.job, funnel)

    while not backfill.over or meanwhile:
        if meanwhile and (backfill.over or chance.random() < 0.6):
            await place.append(*(meanwhile.pop() for _ in range(min(5, len(meanwhile)))))
        elif not backfill.over:
            await backfill.step()

    assert await cells_of(place.owner, funnel) == expected(events)
    assert await place.state() == "live"


async def test_it_waits_for_a_batch_that_began_before_the_definition(place: Place) -> None:
    """Such a batch did not know of the funnel, and its events are not in the log yet."""
    events = [step("u", day(0), "Viewed"), step("u", day(0) + MINUTE, "Added")]
    async with place.lane.transaction():
        await append(place.lane, events)
        funnel = await define(place.owner)
        backfill = Backfill(place.job, funnel)
        for _ in range(3):
            await backfill.step()
            assert backfill.waits
    await backfill.run()

    assert await cells_of(place.owner, funnel) == expected(events)


async def test_it_goes_on_where_its_cursor_says_and_counts_a_piece_done_twice_once(
    place: Place,
) -> None:
    events = traffic(random.Random(1), 60)
    await place.append(*events)
    funnel = await define(place.owner)
    backfill = Backfill(place.job, funnel)

    cursors: list[str | None] = []
    while not backfill.over:
        cursors.append(backfill.cursor)
        await backfill.step()
    for cursor in cursors:
        await Backfill(place.job, funnel, cursor).run()

    assert await cells_of(place.owner, funnel) == expected(events)


async def test_a_long_day_is_walked_in_pieces_and_the_progress_grows(place: Place) -> None:
    wide = "x" * 6_000  # of which a page holds one
    events = [
        step(
            f"u{number}",
            day(0),
            "Viewed",
            event_id=str(number),
            properties={"wide": wide + str(number)},
        )
        for number in range(2 * backfill_funnel.PAGES + 10)
    ]
    await place.owner.execute(
        "ALTER TABLE events_2026_01_05 ALTER COLUMN payload SET STORAGE plain"
    )
    await place.append(*events)
    funnel = await define(place.owner)
    backfill = Backfill(place.job, funnel)

    shares: list[float] = []
    while not backfill.over:
        await backfill.step()
        if backfill.cursor is not None:
            progress = backfill_funnel.read_cursor(backfill.cursor)
            shares.append(progress.done / max(1, progress.total))

    assert await cells_of(place.owner, funnel) == expected(events)
    assert shares == sorted(shares)
    assert any(0.2 < share < 0.8 for share in shares)
    assert shares[-1] == 1


async def test_a_funnel_that_is_deleted_ends_its_back_fill(place: Place) -> None:
    await place.append(step("u", day(0), "Viewed"))
    funnel = await define(place.owner)
    backfill = Backfill(place.job, funnel)
    await backfill.step()

    await place.owner.execute("UPDATE funnels SET state = 'deleting'")
    await backfill.run()

    assert await cells_of(place.owner, funnel) == {}
    assert await place.state() == "deleting"


async def test_ids_that_were_merged_before_count_as_their_user(place: Place) -> None:
    await add_user(place.owner, "ada")
    await add_user(place.owner, "device", merged_into="ada")
    events = [step("device", day(0), "Viewed"), step("ada", day(0) + MINUTE, "Added")]
    await place.append(*events)
    funnel = await define(place.owner)

    await Backfill(place.job, funnel).run()

    assert await cells_of(place.owner, funnel) == expected(events, merged={"device": "ada"})


async def test_a_merge_that_did_not_see_what_was_counted_from_the_log_is_made_good(
    place: Place,
) -> None:
    """It began before the piece that counted the id, and ended after it."""
    await add_user(place.owner, "ada")
    events = [step("device", day(0), "Viewed"), step("ada", day(0) + MINUTE, "Added")]
    await place.append(*events)
    funnel = await define(place.owner)
    backfill = Backfill(place.job, funnel)
    while '"walking"' not in (backfill.cursor or ""):
        await backfill.step()

    async with place.lane.transaction():
        await place.lane.execute("SELECT pg_current_xact_id()")
        counting = await counting_on(place.lane)
        await merge_marks("ada", "device", counting, store=PostgresFunnelStore(place.lane))
        await backfill.step()
        while not backfill.waits:
            await backfill.step()
        await backfill.step()
        assert backfill.waits
        await place.lane.execute(
            """
            INSERT INTO users (user_id, part, first_seen, last_seen, span_start, lifecycle,
                               lifecycle_since, known_at, policy_version, updated_at, merged_into)
            VALUES ('device', 0, now(), now(), now(), 'new', now(), now(), 1, now(), 'ada')
            """
        )
    await backfill.run()

    assert await cells_of(place.owner, funnel) == expected(events, merged={"device": "ada"})


async def test_a_number_of_another_server_is_not_waited_for(place: Place) -> None:
    """After a restore from a dump the transactions are counted anew."""
    await place.append(step("u", day(0), "Viewed"))
    funnel = await define(place.owner)
    ahead = backfill_funnel.Cursor(backfill_funnel.Stage.WAITING, fence=2**60)

    backfill = Backfill(place.job, funnel, backfill_funnel.write_cursor(ahead).decode())
    await asyncio.wait_for(backfill.run(), 30)

    assert await place.state() == "live"
