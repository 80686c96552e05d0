"""Counters on a real Postgres: exact sums whoever adds at the same time, and nobody waits in a ring."""

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator, Iterable
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import asyncpg
import pytest
import pytest_asyncio

from services.segmenter.domain.active_days import ActiveDays
from services.segmenter.domain.calendar import Calendar
from services.segmenter.domain.counters import Cells, Standing, activity_delta, flow_delta
from services.segmenter.domain.lifecycle import Step
from services.segmenter.domain.origin import Origin
from services.segmenter.outbound.counter_sql import JOBS_SHARD, CounterStore, shard_of
from shared.database import session
from shared.database.connection import Connection
from shared.vocabulary import Lifecycle, TransitionReason
from tests.servers import Database
from tests.unit.segmenter.counting_oracle import Counted, Did, recount

pytestmark = pytest.mark.postgres

START = datetime(2026, 1, 5, tzinfo=UTC)
CALENDAR = Calendar(UTC)
ORIGINS = (Origin("wechat", "ios"), Origin("mail", "web"), Origin())
LANES = 4


@pytest_asyncio.fixture
async def lanes(database: Database) -> AsyncIterator[list[Connection]]:
    made = [await session.connect(database.segmenter, worker="test") for _ in range(LANES)]
    try:
        yield made
    finally:
        for each in made:
            await each.close()


@pytest_asyncio.fixture
async def api(database: Database) -> AsyncIterator[Connection]:
    connection = await asyncpg.connect(database.api)
    try:
        yield connection
    finally:
        await connection.close()


def step(at: datetime) -> Step:
    return Step(at, None, Lifecycle.NEW, TransitionReason.FIRST_ACTIVITY, 1)


def cells_of(deeds: Iterable[Did]) -> Cells:
    """Return what users contribute who did nothing else."""
    cells = Cells()
    by_user: dict[str, list[Did]] = {}
    for did in deeds:
        by_user.setdefault(did.user_id, []).append(did)
    for of_user in by_user.values():
        days = ActiveDays.of(CALENDAR.day_of(each.at) for each in of_user)
        origin = min((each.at, each.origin) for each in of_user)[1]
        activity_delta(None, Standing(days, origin), CALENDAR, cells)
        flow_delta((), [step(min(each.at for each in of_user))], origin, CALENDAR, cells)
    return cells


async def stored(connection: Connection) -> Counted:
    """Return what is counted over all shards."""
    found = Counted()
    for row in await connection.fetch(
        "SELECT period, dimension, start, value, sum(users)::int, sum(new_users)::int"
        " FROM active_users GROUP BY 1, 2, 3, 4"
    ):
        found.users.update({tuple(row[:4]): row[4]} if row[4] else {})
        found.new_users.update({tuple(row[:4]): row[5]} if row[5] else {})
    for counter, columns, table in (
        (found.retention, "period, dimension, cohort, value, age, sum(users)", "retention"),
        (
            found.flows,
            "dimension, hour, value, before, after, sum(transitions)",
            "lifecycle_flows",
        ),
        (
            found.months,
            "dimension, month, value, before, after, sum(transitions)",
            "lifecycle_flow_months",
        ),
    ):
        rows = await connection.fetch(f"SELECT {columns} FROM {table} GROUP BY 1, 2, 3, 4, 5")  # noqa: S608
        counted: Counter[tuple[object, ...]] = counter  # type: ignore[assignment]
        counted.update({tuple(row[:5]): int(row[5]) for row in rows if row[5]})
    return found


def traffic(chance: random.Random, users: Iterable[str], *, deeds: int) -> list[Did]:
    return [
        Did(
            user,
            START + timedelta(hours=chance.randrange(24 * 60)),
            chance.choice(ORIGINS),
        )
        for user in users
        for _ in range(deeds)
    ]


def steps_of(deeds: Iterable[Did]) -> dict[str, list[Step]]:
    first: dict[str, datetime] = {}
    for did in deeds:
        first[did.user_id] = min(did.at, first.get(did.user_id, did.at))
    return {user: [step(at)] for user, at in first.items()}


async def test_a_batch_is_stored_as_it_was_counted(
    lanes: list[Connection], api: Connection
) -> None:
    deeds = traffic(random.Random(1), map(str, range(40)), deeds=6)

    async with lanes[0].transaction():
        await CounterStore().add(lanes[0], cells_of(deeds), shard_of(13))

    assert await stored(api) == recount(deeds, ZoneInfo("UTC"), steps_of(deeds))
    assert await api.fetch("SELECT DISTINCT shard FROM retention") == [(5,)]


@pytest.mark.parametrize("shard", [None, 3], ids=["each its own shard", "all the same shard"])
async def test_lanes_that_add_to_the_same_cells_at_once_lose_nothing_and_never_deadlock(
    lanes: list[Connection], api: Connection, shard: int | None
) -> None:
    all_deeds: list[Did] = []
    queues: list[list[list[Did]]] = []
    for lane in range(LANES):
        chance = random.Random(lane)
        batches = [
            traffic(chance, (f"{lane}-{batch}-{user}" for user in range(25)), deeds=4)
            for batch in range(12)
        ]
        queues.append(batches)
        all_deeds += [did for batch in batches for did in batch]

    async def run(lane: int) -> None:
        for batch in queues[lane]:
            async with lanes[lane].transaction():
                await CounterStore().add(
                    lanes[lane], cells_of(batch), lane if shard is None else shard
                )

    await asyncio.gather(*(run(lane) for lane in range(LANES)))

    assert await stored(api) == recount(all_deeds, ZoneInfo("UTC"), steps_of(all_deeds))


_NOTED = """
    CREATE TABLE noted (place serial, name text);
    CREATE FUNCTION note_table() RETURNS trigger SECURITY DEFINER LANGUAGE plpgsql AS
    $$ BEGIN INSERT INTO noted (name) VALUES (TG_TABLE_NAME); RETURN NEW; END $$;
"""


async def test_the_tables_are_written_in_the_order_in_which_every_version_wrote_them(
    lanes: list[Connection], database: Database
) -> None:
    """Else processes of two versions that share a shard would deadlock during an upgrade."""
    tables = ["active_users", "retention", "lifecycle_flows", "lifecycle_flow_months"]
    owner = await asyncpg.connect(database.owner)
    await owner.execute(_NOTED)
    for table in tables:
        await owner.execute(
            f"CREATE TRIGGER noted BEFORE INSERT ON {table} FOR EACH ROW EXECUTE FUNCTION note_table()"
        )

    await CounterStore().add(lanes[0], cells_of([Did("u", START), Did("v", START)]), 0)

    rows = await owner.fetch("SELECT name FROM noted GROUP BY name ORDER BY min(place), max(place)")
    last = await owner.fetch("SELECT name FROM noted GROUP BY name ORDER BY max(place)")
    await owner.close()
    assert [row["name"] for row in rows] == [row["name"] for row in last] == tables


async def test_a_channel_may_hold_any_character_that_can_be_stored(
    lanes: list[Connection], api: Connection
) -> None:
    channels = ['a,b"c\\d{e}', "null", "搜索 ads", "'; --", "%s"]
    deeds = [Did(str(each), START, Origin(channel)) for each, channel in enumerate(channels)]

    await CounterStore().add(lanes[0], cells_of(deeds), 0)

    assert await stored(api) == recount(deeds, ZoneInfo("UTC"), steps_of(deeds))


async def test_what_is_rolled_back_counts_nothing(lanes: list[Connection], api: Connection) -> None:
    transaction = lanes[0].transaction()
    await transaction.start()
    await CounterStore().add(lanes[0], cells_of([Did("u", START)]), 0)
    await transaction.rollback()

    assert await stored(api) == Counted()


async def test_a_user_who_is_taken_back_leaves_zeros(
    lanes: list[Connection], api: Connection
) -> None:
    standing = Standing(ActiveDays.of([date(2026, 1, 5).toordinal()]), ORIGINS[0])
    store = CounterStore()

    await store.add(lanes[0], activity_delta(None, standing, CALENDAR), 0)
    await store.add(lanes[1], activity_delta(standing, None, CALENDAR), JOBS_SHARD)

    assert await stored(api) == Counted()


async def test_a_batch_that_changes_no_cell_asks_nothing_of_the_database() -> None:
    standing = Standing(ActiveDays(739_000), Origin())
    unchanged = activity_delta(standing, standing, CALENDAR)

    await CounterStore().add(None, unchanged, 0)


@pytest.mark.parametrize("table", ["active_users", "retention", "lifecycle_flows", "product"])
@pytest.mark.parametrize("role", ["api", "alerts"])
async def test_no_other_role_changes_counters(database: Database, role: str, table: str) -> None:
    connection = await asyncpg.connect(getattr(database, role))
    try:
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.execute(f"DELETE FROM {table}")  # noqa: S608
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.execute(f"INSERT INTO {table} SELECT * FROM {table}")  # noqa: S608
    finally:
        await connection.close()
