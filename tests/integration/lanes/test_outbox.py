"""The outbox's table: what is read at once, what is remembered, and what people can see of it."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import asyncpg
import pytest
import pytest_asyncio

from deploy.local.dsn import with_database
from shared.database import lease, outbox
from shared.database.connection import Connection
from shared.database.lease import Partition
from shared.database.migrate import migrate
from shared.database.outbox import OutboxMessage
from tests.integration.lanes.kit import until
from tests.servers import Database, drop_database

pytestmark = pytest.mark.postgres

NOON = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


@dataclass
class Desk:
    """A worker that is relay of its group's partition 0, and the owner who looks on."""

    connection: Connection
    owner: Connection

    async def put(self, *texts: str) -> None:
        messages = [OutboxMessage("t", b"k", text.encode(), NOON) for text in texts]
        await outbox.insert(self.connection, "segmenter", 0, messages=messages)

    async def waiting(self, limit: int) -> list[outbox.OutboxRow]:
        return await outbox.waiting(
            self.connection, "segmenter", worker="w", topics=["events"], limit=limit
        )

    async def texts(self, limit: int) -> list[str]:
        return [value.decode() for row in await self.waiting(limit) for _, value in row.messages]

    async def shown(self) -> list[tuple[int, bytes]]:
        rows = await self.owner.fetch("SELECT place, value FROM outbox_messages ORDER BY id, place")
        return [tuple(row) for row in rows]


@pytest_asyncio.fixture
async def desk(database: Database) -> AsyncIterator[Desk]:
    made = Desk(await asyncpg.connect(database.segmenter), await asyncpg.connect(database.owner))
    await lease.add_partitions(made.connection, [Partition("segmenter", "events", 0)])
    await made.owner.execute("UPDATE consumer_partition SET owner = 'w'")
    yield made
    await made.connection.close()
    await made.owner.close()


@pytest.mark.parametrize(
    ("limit", "expected"),
    [(1, "ab"), (2, "ab"), (4, "ab"), (5, "abcde"), (6, "abcdef"), (9, "abcdef")],
)
async def test_as_many_whole_rows_are_read_as_the_limit_has_messages_and_at_least_one(
    desk: Desk, limit: int, expected: str
) -> None:
    await desk.put("a", "b")
    await desk.put("c", "d", "e")
    await desk.put("f")

    assert "".join(await desk.texts(limit)) == expected


async def test_what_is_settled_counts_no_more(desk: Desk) -> None:
    await desk.put("a", "b", "c")
    await desk.put("d")
    (first, _) = await desk.waiting(9)

    # Two relays at once may settle the same.
    await outbox.settle(desk.connection, first.id, [0, 1])
    await outbox.settle(desk.connection, first.id, [1])

    assert await desk.shown() == [(2, b"c"), (0, b"d")]
    assert [row.settled for row in await desk.waiting(2)] == [frozenset({0, 1}), frozenset()]


@pytest.mark.parametrize("length", [0, 1, 255, 256, 65_535, 65_536])
@pytest.mark.parametrize("number", [1, 15, 16])
async def test_people_see_what_was_put_there(desk: Desk, length: int, number: int) -> None:
    messages = [OutboxMessage("t", bytes([each]), bytes(length), NOON) for each in range(number)]
    await outbox.insert(desk.connection, "segmenter", 0, messages=messages)

    rows = await desk.owner.fetch(
        "SELECT topic, key, value, created_at FROM outbox_messages ORDER BY id, place"
    )

    assert [tuple(row) for row in rows] == [
        (each.topic, each.key, each.value, each.at) for each in messages
    ]


async def test_messages_that_waited_when_rows_were_of_one_message_still_do(
    database: Database,
) -> None:
    name = f"ebbtide_test_{uuid.uuid4().hex[:12]}"
    old = with_database(database.owner, name)
    values = [b"", b"v" * 300, '{"text": "用户"}'.encode()]
    await _execute(database.owner, f"CREATE DATABASE {name}")
    try:
        await migrate(old, to="0002_pre")
        await _put_as_before(old, values)
        await migrate(old)
        connection = await asyncpg.connect(old)
        waiting = await _all_waiting(connection)
        shown = await connection.fetch("SELECT value FROM outbox_messages ORDER BY id, place")
        await connection.close()
    finally:
        await drop_database(database.owner, name)

    assert [(each.topic, each.created_at, each.messages) for each in waiting] == [
        ("t", NOON, [(b"key", value)]) for value in values
    ]
    assert [row["value"] for row in shown] == values


async def test_the_migration_waits_for_a_lane_that_has_written_history_and_sends_it_next(
    database: Database,
) -> None:
    name = f"ebbtide_test_{uuid.uuid4().hex[:12]}"
    old = with_database(database.owner, name)
    await _execute(database.owner, f"CREATE DATABASE {name}")
    try:
        await migrate(old, to="0002_pre")
        lane, onlooker = await asyncpg.connect(old), await asyncpg.connect(old)
        await lane.execute(f"SELECT ensure_transitions_partition('{NOON:%Y-%m}-01'); BEGIN")
        await lane.execute(_WRITE_HISTORY, NOON)
        migrating = asyncio.create_task(migrate(old))
        await until(lambda: _somebody_waits(onlooker))
        await lane.execute(_SEND_AS_BEFORE, b"said", NOON)
        await lane.execute("COMMIT")
        await migrating
        waiting = await _all_waiting(onlooker)
        await lane.close()
        await onlooker.close()
    finally:
        await drop_database(database.owner, name)

    assert [each.messages for each in waiting] == [[(b"key", b"said")]]


_WRITE_HISTORY = """
INSERT INTO transitions (transition_id, user_id, kind, after, at, recorded_at, reason, policy_version)
VALUES (gen_random_uuid(), 'u', 'lifecycle', 'new', $1, $1, 'first_activity', 1)
"""
_SEND_AS_BEFORE = """
INSERT INTO outbox (grp, part, topic, key, value, created_at)
VALUES ('segmenter', 0, 't', 'key', $1, $2)
"""


async def _somebody_waits(connection: Connection) -> bool:
    waiting = await connection.fetchval(
        "SELECT count(*) FROM pg_stat_activity"
        " WHERE datname = current_database() AND wait_event_type = 'Lock'"
    )
    return bool(waiting)


async def _put_as_before(dsn: str, values: Sequence[bytes]) -> None:
    connection = await asyncpg.connect(dsn)
    await connection.executemany(
        _SEND_AS_BEFORE,
        [(value, NOON) for value in values],
    )
    await connection.close()


async def _all_waiting(connection: Connection) -> list[outbox.OutboxRow]:
    await lease.add_partitions(connection, [Partition("segmenter", "events", 0)])
    await connection.execute("UPDATE consumer_partition SET owner = 'w'")
    return await outbox.waiting(connection, "segmenter", worker="w", topics=["events"], limit=100)


async def _execute(server: str, statement: str) -> None:
    connection = await asyncpg.connect(server)
    await connection.execute(statement)
    await connection.close()
