"""The event log's partitions and the jobs that ended, looked after by one process at a time."""

from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from datetime import date, datetime, timedelta

import asyncpg

from services.segmenter.outbound.partitions import HORIZON_S, tell_of_partition
from services.segmenter.usecases.keep_log import LogBusy
from shared.database import session
from shared.database.connection import Connection, translated
from shared.errors import StoreUnavailable

# Every lane has read the horizon by then, and no transaction is left that began before it did.
PATIENCE = timedelta(seconds=2 * HORIZON_S)

_MINE = "SELECT pg_try_advisory_lock(hashtext('ebbtide.event_log'))"


class EventLog:
    """Keeps the ports `LogShelf` and `EndedJobs`, on a connection that is open for one look."""

    def __init__(self, connection: Connection, *, patience: timedelta = PATIENCE) -> None:
        self._connection = connection
        self._patience = patience

    async def ensure(self, *, days: Collection[date], months: Collection[date]) -> None:
        wanted = [("events", day) for day in days] + [("transitions", month) for month in months]
        for table, day in wanted:
            with translated():
                found = await self._connection.fetchval(f"SELECT ensure_{table}_partition($1)", day)
            tell_of_partition(table, day, found)

    async def oldest_day(self) -> date | None:
        return await self._day("SELECT min(lower) FROM partitions_of('events')")

    async def horizon(self) -> date | None:
        return await self._day("SELECT held_since FROM log_horizon")

    async def folded_until(self) -> datetime | None:
        with translated():
            until: datetime | None = await self._connection.fetchval("SELECT log_folded_until()")
        return until

    async def raise_horizon(self, day: date) -> None:
        with translated():
            await self._connection.execute("SELECT raise_log_horizon($1)", day)

    async def drop_oldest(self) -> str | None:
        try:
            with translated():
                name: str | None = await self._connection.fetchval(
                    "SELECT drop_oldest_events_partition($1)", self._patience
                )
        except StoreUnavailable as error:
            if isinstance(error.__cause__, asyncpg.LockNotAvailableError):
                raise LogBusy(str(error)) from error
            raise
        return name

    async def forget(self, before: datetime, *, limit: int) -> int:
        with translated():
            number: int = await self._connection.fetchval(
                "SELECT forget_jobs($1, $2)", before, limit
            )
        return number

    async def _day(self, query: str) -> date | None:
        with translated():
            instant: datetime | None = await self._connection.fetchval(query)
        return None if instant is None else instant.date()


@asynccontextmanager
async def opened(
    dsn: str, *, worker: str, patience: timedelta = PATIENCE
) -> AsyncIterator[EventLog | None]:
    """Open the log, None if another process has it open. Raises StoreUnavailable."""
    connection = await session.connect(dsn, worker=worker)
    try:
        with translated():
            # A process that is frozen in the middle must not keep the others away.
            await connection.execute("SET idle_session_timeout = '10s'")
            mine = await connection.fetchval(_MINE)
        yield EventLog(connection, patience=patience) if mine else None
    finally:
        await session.close(connection)
