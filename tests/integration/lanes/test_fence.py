"""The fence: a transaction goes on only with the partition's row in hand, as it was claimed."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime

import asyncpg
import pytest
import pytest_asyncio

from shared.database import lease, session
from shared.database.connection import Connection
from shared.database.lease import Partition, Progress
from tests.servers import Database

pytestmark = pytest.mark.postgres

PLACE = Partition("segmenter", "events", 3)
WORKER = "o'brien"  # a host may be called anything
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
PROGRESS = Progress(9, folded_until=NOON, watermark=NOON, end_offset=12, folded_at=NOON)


@pytest_asyncio.fixture
async def connection(database: Database) -> AsyncIterator[Connection]:
    made = await session.connect(database.segmenter, worker=WORKER)
    await lease.add_partitions(made, [PLACE, replace(PLACE, part=4)])
    claim = await lease.claim(made, PLACE, WORKER)
    assert claim is not None
    assert (claim.epoch, claim.next_offset) == (1, 0)
    yield made
    await session.close(made)


async def hold(
    connection: Connection, *, worker: str = WORKER, epoch: int = 1, at: int = 0
) -> bool:
    return await lease.begin_holding(connection, PLACE, worker, epoch=epoch, next_offset=at)


async def stored(connection: Connection) -> asyncpg.Record:
    row: asyncpg.Record = await connection.fetchrow(
        "SELECT next_offset, watermark, folded_until, end_offset, folded_at FROM consumer_partition"
        " WHERE part = 3"
    )
    return row


async def test_what_is_written_behind_the_fence_is_committed_with_the_offset(
    connection: Connection,
) -> None:
    assert await hold(connection)
    assert connection.is_in_transaction()

    await lease.advance_and_commit(connection, PLACE, PROGRESS)

    assert not connection.is_in_transaction()
    assert tuple(await stored(connection)) == (9, NOON, NOON, 12, NOON)


@pytest.mark.parametrize("wrong", [{"worker": "other"}, {"epoch": 2}, {"at": 1}])
async def test_whoever_is_not_the_owner_as_claimed_writes_nothing(
    connection: Connection, wrong: dict[str, object]
) -> None:
    assert not await hold(connection, **wrong)  # type: ignore[arg-type]

    assert not connection.is_in_transaction()


async def test_a_watermark_never_falls_and_an_end_that_is_not_known_is_kept(
    connection: Connection,
) -> None:
    assert await hold(connection)
    await lease.advance_and_commit(connection, PLACE, PROGRESS)
    assert await hold(connection, at=9)

    unknown = replace(PROGRESS, next_offset=10, watermark=None, folded_until=None, end_offset=None)
    await lease.advance_and_commit(connection, PLACE, unknown)

    assert tuple(await stored(connection)) == (10, NOON, NOON, 12, NOON)


async def test_a_claim_waits_for_the_holder_and_fences_it_from_then_on(
    connection: Connection, database: Database
) -> None:
    successor = await session.connect(database.segmenter, worker="other")
    assert await hold(connection)

    claiming = asyncio.create_task(lease.claim(successor, PLACE, "other"))
    await lease.advance_and_commit(connection, PLACE, PROGRESS)
    claim = await claiming

    assert claim is not None
    assert (claim.epoch, claim.next_offset) == (2, 9)
    assert not await hold(connection, at=9)
    await session.close(successor)


async def test_what_failed_is_rolled_back_and_the_connection_is_as_good_as_new(
    connection: Connection,
) -> None:
    assert await hold(connection)
    with pytest.raises(asyncpg.UndefinedTableError):
        await connection.execute("SELECT FROM nowhere")

    await session.roll_back(connection)

    assert await hold(connection)
    await session.roll_back(connection)
    assert (await stored(connection))["next_offset"] == 0


async def test_rolling_back_on_a_lost_connection_raises_nothing(connection: Connection) -> None:
    assert await hold(connection)

    connection.terminate()

    await session.roll_back(connection)
