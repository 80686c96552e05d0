"""Connections for work that is shared by leases: bounded in every wait, so that none hangs."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import asyncpg

from shared.database.connection import UNAVAILABLE, Connection, translated
from shared.errors import StoreUnavailable

CONNECT_S = 5.0
# Longer than the server's own limits below: they speak first, where the server still speaks.
COMMAND_S = 10.0
CLOSE_S = 2.0

# A frozen worker holds row locks no longer than 2 s; a transaction never outlives the lease.
_BOUNDS = {
    "idle_in_transaction_session_timeout": "2s",
    "transaction_timeout": "5s",
    "lock_timeout": "8s",
    "statement_timeout": "9s",
    "tcp_keepalives_idle": "5",
    "tcp_keepalives_interval": "2",
    "tcp_keepalives_count": "3",
    # A plan for any parameters would open and lock every partition of a table, hundreds of them.
    "plan_cache_mode": "force_custom_plan",
    # Lanes look up some thousand rows by their keys, nearly always in memory. By Postgres's default, which is of
    # spinning disks, a table of less than some 100,000 users would be read whole instead: five times as long.
    "random_page_cost": "1.1",
    # Thousands of ids in a log of many days look dear enough to compile a statement for, which takes longer than it.
    "jit": "off",
    "timezone": "UTC",
}


_CONFLICTS = (
    asyncpg.DeadlockDetectedError,
    asyncpg.SerializationError,
    asyncpg.UniqueViolationError,
)


async def connect(dsn: str, *, worker: str) -> Connection:
    """Return a new connection with bounded waits, named after the worker. Raises StoreUnavailable."""
    try:
        with translated():
            return await asyncpg.connect(
                dsn,
                timeout=CONNECT_S,
                command_timeout=COMMAND_S,
                server_settings={**_BOUNDS, "application_name": worker[:63]},
            )
    except (ValueError, OverflowError) as error:  # they quote the address, password and all
        raise StoreUnavailable(f"unusable address of Postgres: {type(error).__name__}") from None


async def close(connection: Connection) -> None:
    """Let go of the connection: politely for a moment, then by cutting it. Never raises."""
    try:
        await asyncio.wait_for(connection.close(), CLOSE_S)
    except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError):
        connection.terminate()


@asynccontextmanager
async def savepoint(connection: Connection) -> AsyncIterator[None]:
    """Undo what was done within, and no more, where it fails. Within a transaction; not within another one."""
    await connection.execute("SAVEPOINT piece")
    try:
        yield
    except BaseException:
        await connection.execute("ROLLBACK TO SAVEPOINT piece; RELEASE SAVEPOINT piece")
        raise
    await connection.execute("RELEASE SAVEPOINT piece")


async def roll_back(connection: Connection) -> None:
    """End a transaction that failed; where the connection is lost, the server has done so. Never raises."""
    with suppress(*UNAVAILABLE):
        await connection.execute("ROLLBACK")


def is_conflict(error: BaseException | None) -> bool:
    """Say whether others who work at the same time are behind the error: the same again works.

    A row that is there already is no conflict by itself, but where somebody calls it retryable it is one.
    """
    while error is not None:
        if isinstance(error, _CONFLICTS):
            return True
        error = error.__cause__
    return False
