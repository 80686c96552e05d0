"""Makes the partitions of tables that a batch will write into, before its transaction."""

import asyncio
from collections.abc import Collection
from datetime import date

from services.segmenter.domain.policy import Policy
from services.segmenter.outbound.profile_store import PostgresStore
from shared.database import session
from shared.database.connection import Connection, translated


class Partitions:
    """Remembers what it made; one connection, opened when first needed, shared by all lanes."""

    def __init__(self, dsn: str, *, worker: str) -> None:
        self._dsn = dsn
        self._worker = worker
        self._connection: Connection | None = None
        self._made: set[tuple[str, date]] = set()
        self._policy: Policy | None = None
        self._turn = asyncio.Lock()

    async def policy(self) -> Policy:
        """Return the active policy as first read, or as read again after `forget`."""
        async with self._turn:
            if self._policy is None:
                self._policy = await PostgresStore(await self._connected()).policy()
            return self._policy

    async def ensure(self, *, days: Collection[date], months: Collection[date]) -> None:
        """Make partitions for events received on the days and transitions dated in the months.

        Idempotent. Raises StoreUnavailable.
        """
        wanted = [("events", day) for day in days] + [("transitions", month) for month in months]
        missing = sorted(each for each in wanted if each not in self._made)
        if not missing:
            return
        async with self._turn:
            connection = await self._connected()
            for table, day in missing:
                with translated():
                    await connection.execute(f"SELECT ensure_{table}_partition($1)", day)
                self._made.add((table, day))

    def forget(self) -> None:
        """Look anew: a partition was dropped, or the policy changed."""
        self._made.clear()
        self._policy = None

    async def start(self) -> None:
        """It connects when first needed."""

    async def stop(self) -> None:
        if self._connection is not None:
            await session.close(self._connection)

    async def _connected(self) -> Connection:
        if self._connection is None or self._connection.is_closed():
            self._connection = await session.connect(self._dsn, worker=self._worker)
        return self._connection
