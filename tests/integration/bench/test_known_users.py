"""The benchmark's users are users as the segmenter writes them, by the schema as it is."""

from datetime import UTC, datetime, timedelta

import asyncpg
import pytest

from services.segmenter.outbound.profile_store import PostgresStore
from tests.bench.segmenter import product, raw_limit, raw_sweep
from tests.bench.segmenter.known import add_known
from tests.servers import Database

pytestmark = pytest.mark.postgres

SEEN = datetime(2026, 3, 8, 12, tzinfo=UTC)
SILENT = SEEN + timedelta(days=7)


async def test_a_known_user_is_active_until_the_silence_begins(database: Database) -> None:
    connection = await asyncpg.connect(database.owner)

    await add_known(connection, [("user-1", 3, SEEN)])

    row = await connection.fetchrow(
        "SELECT part, last_seen, lifecycle, deadline, deadline_to FROM users"
    )
    await connection.close()
    assert row is not None
    assert tuple(row) == (3, SEEN, "active", SILENT, "silent")


async def test_the_segmenter_finds_a_known_user_due_when_the_silence_begins(
    database: Database,
) -> None:
    connection = await asyncpg.connect(database.owner)
    await add_known(connection, [("user-1", 3, SEEN)])
    store = PostgresStore(connection)

    before = await store.lock_due(3, until=SILENT - timedelta(seconds=1), limit=10)
    then = await store.lock_due(3, until=SILENT, limit=10)

    await connection.close()
    assert not before.profiles
    assert [profile.user_id for profile in then.profiles] == ["user-1"]


async def test_the_bare_sweep_leaves_every_user_silent_with_a_transition(
    database: Database,
) -> None:
    connection = await asyncpg.connect(database.owner)
    await add_known(connection, [(f"user-{number}", 0, SEEN) for number in range(5)])

    await raw_sweep.run(database.owner)

    users = await connection.fetch("SELECT DISTINCT lifecycle, deadline_to FROM users")
    written = await connection.fetchval("SELECT count(*) FROM transitions WHERE at = $1", SILENT)
    await connection.close()
    assert [tuple(row) for row in users] == [("silent", "churned")]
    assert written == 5


async def test_the_raw_limits_table_has_the_indexes_of_the_event_log_or_none(
    database: Database,
) -> None:
    connection = await asyncpg.connect(database.owner)
    count = "SELECT count(*) FROM pg_index WHERE indrelid = 'bench_raw'::regclass"

    await raw_limit.make_table(database.owner, SEEN, indexes=True)
    with_indexes = await connection.fetchval(count)
    await connection.execute("DROP TABLE bench_raw")
    await raw_limit.make_table(database.owner, SEEN, indexes=False)
    without = await connection.fetchval(count)

    await connection.close()
    assert with_indexes >= 2
    assert without == 0


async def test_the_benchmarks_funnel_is_live(database: Database) -> None:
    await product.add_live_funnel(database.owner)

    connection = await asyncpg.connect(database.owner)
    states = await connection.fetch("SELECT state, jsonb_array_length(steps) FROM funnels")
    await connection.close()
    assert [tuple(row) for row in states] == [("live", 3)]
