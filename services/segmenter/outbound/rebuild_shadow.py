"""The tables of the schema `rebuild`, filled while the live ones are read."""

from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from datetime import datetime

from services.segmenter.domain.counters import Cells
from services.segmenter.domain.replay import Rebuilt
from services.segmenter.outbound import zones
from services.segmenter.outbound.counter_sql import CounterStore
from services.segmenter.outbound.profile_store import PostgresStore
from services.segmenter.outbound.rebuild_cells import BEYOND, COUNTERS, RIGHT, compared, correct
from services.segmenter.outbound.rebuild_snapshot import connected
from services.segmenter.usecases.rebuild_ports import CellDifference
from shared.database import session
from shared.database.connection import Connection, translated

_TRANSITIONS = ("user_id", "at", "before", "after", "reason", "policy_version")

_MINE = "SELECT pg_try_advisory_lock(hashtext('ebbtide.rebuild'))"

_ALIVE = """
SELECT count(*) FROM public.consumer_worker WHERE grp = $1 AND alive_until > clock_timestamp()
"""

_NOTE = """
INSERT INTO differing (user_id) SELECT unnest($1::text[]) ON CONFLICT DO NOTHING
"""

_DIFFERING = "SELECT user_id FROM differing WHERE user_id > $1 ORDER BY user_id LIMIT $2"


class PostgresShadow:
    """Keeps the port `Shadow`. Its statements are the live tables' own, on a path that leads to the shadow only."""

    def __init__(self, connection: Connection, *, live: Connection, dsn: str, worker: str) -> None:
        self._connection = connection
        self._live = live
        self._dsn = dsn
        self._worker = worker
        self._store = PostgresStore(connection)

    async def begin(self) -> bool:
        with translated():
            if not await self._connection.fetchval(_MINE):
                return False
            await self._connection.execute("SELECT make_rebuild_tables()")
            await self._connection.execute("SET search_path = rebuild")
        return True

    async def move_to(self, zone: str, *, group: str) -> bool:
        """Have days counted in another zone from now on; False: segmenters run, who count them as before."""
        with translated():
            if await self._connection.fetchval(_ALIVE, group):
                return False
        await zones.change(self._connection, zone)
        return True

    async def add_users(self, rebuilt: Sequence[Rebuilt], *, now: datetime) -> None:
        if not rebuilt:
            return
        await self._store.add_users([each.profile for each in rebuilt], now=now)
        with translated():
            await self._connection.copy_records_to_table(
                "transitions",
                records=(row for each in rebuilt for row in _transitions(each)),
                columns=_TRANSITIONS,
            )

    async def count(self, right: Cells, beyond: Cells) -> None:
        with translated():
            async with self._connection.transaction():
                await CounterStore().add(self._connection, right, RIGHT)
                await CounterStore().add(self._connection, beyond, BEYOND)

    async def note_differing(self, user_ids: Sequence[str]) -> None:
        if user_ids:
            with translated():
                await self._connection.execute(_NOTE, list(user_ids))

    async def differing(self, *, behind: str, limit: int) -> Sequence[str]:
        with translated():
            rows = await self._connection.fetch(_DIFFERING, behind, limit)
        return [row["user_id"] for row in rows]

    async def cells(self) -> AsyncIterator[Sequence[CellDifference]]:
        for counter in COUNTERS:
            with translated():
                transaction = self._connection.transaction(readonly=True)
                await transaction.start()
            try:
                async for found in compared(self._live, self._connection, counter):
                    yield found
            finally:
                if not self._connection.is_closed():
                    with translated():
                        await transaction.rollback()

    async def correct(self, cells: Sequence[CellDifference]) -> None:
        connection = await session.connect(self._dsn, worker=self._worker)
        try:
            with translated():
                async with connection.transaction():
                    for counter in COUNTERS:
                        of_table = [each for each in cells if each.table == counter.table]
                        await correct(connection, counter, of_table)
        finally:
            await session.close(connection)


@asynccontextmanager
async def opened(dsn: str, *, live: Connection, worker: str) -> AsyncIterator[PostgresShadow]:
    """Open the shadow. `live` is the connection with the snapshot. Raises StoreUnavailable."""
    async with connected(dsn, worker=worker, writes=True) as connection:
        yield PostgresShadow(connection, live=live, dsn=dsn, worker=worker)


def _transitions(rebuilt: Rebuilt) -> Iterator[tuple[object, ...]]:
    user_id = rebuilt.profile.user_id
    for step in rebuilt.steps:
        yield user_id, step.at, step.before, step.after, step.reason, step.policy_version
