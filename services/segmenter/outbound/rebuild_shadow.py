"""The tables of the schema `rebuild`, filled while the live ones are read."""

from collections.abc import AsyncIterator, Collection, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import datetime

from services.segmenter.domain.counters import Cells
from services.segmenter.domain.funnel import Funnels
from services.segmenter.domain.funnel_depth import DayOf
from services.segmenter.domain.funnel_marks import Mark
from services.segmenter.domain.replay import Rebuilt
from services.segmenter.outbound import zones
from services.segmenter.outbound.counter_sql import CounterStore
from services.segmenter.outbound.funnel_store import PostgresFunnelStore
from services.segmenter.outbound.profile_store import PostgresStore
from services.segmenter.outbound.rebuild_cells import (
    BEYOND,
    COUNTERS,
    OF_FUNNELS,
    RIGHT,
    compared,
    correct,
)
from services.segmenter.outbound.rebuild_marks import paired, still_counted
from services.segmenter.outbound.rebuild_snapshot import connected
from services.segmenter.usecases.fold_funnels import Counting, FunnelCell, FunnelUser, add_marks
from services.segmenter.usecases.rebuild_funnels import Pair
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

_NOTE_MARKS = """
INSERT INTO differing_marks (funnel_id, user_id) SELECT * FROM unnest($1::int[], $2::text[])
"""

_DIFFERING_MARKS = """
SELECT user_id, array_agg(funnel_id) AS funnel_ids FROM differing_marks
WHERE user_id > $1 GROUP BY user_id ORDER BY user_id LIMIT $2
"""

_DIFFERING = "SELECT user_id FROM differing WHERE user_id > $1 ORDER BY user_id LIMIT $2"


class PostgresShadow:
    """Keeps the ports `Shadow` and `MarksShadow`. Its statements are the live tables' own, on a path that leads to the shadow only."""

    def __init__(self, connection: Connection, *, live: Connection, dsn: str, worker: str) -> None:
        self._connection = connection
        self._live = live
        self._dsn = dsn
        self._worker = worker
        self._store = PostgresStore(connection)
        self._funnel_store = PostgresFunnelStore(connection)

    async def begin(self) -> bool:
        with translated():
            if not await self._connection.fetchval(_MINE):
                return False
            await self._connection.execute("SELECT make_rebuild_tables()")
            await self._connection.execute("SET search_path = rebuild")
        return True

    async def is_in_use(self, *, group: str) -> bool:
        """Say whether segmenters run, who count days as before."""
        with translated():
            return bool(await self._connection.fetchval(_ALIVE, group))

    async def move_to(self, zone: str) -> bool:
        """Have days counted in another zone from now on; False: a funnel is still counted in those of the old one."""
        return await zones.change(self._connection, zone)

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

    async def add_marks(
        self, marks: Mapping[FunnelUser, Sequence[Mark]], funnels: Funnels, day_of: DayOf
    ) -> None:
        with translated():
            async with self._connection.transaction():
                counting = Counting(funnels, day_of, RIGHT)
                await add_marks(marks, counting, store=self._funnel_store)

    async def pairs(self, funnel_ids: Collection[int]) -> AsyncIterator[Sequence[Pair]]:
        with translated():
            async with self._connection.transaction():
                async for pairs in paired(self._live, self._connection, funnel_ids):
                    yield pairs

    async def count_marks(
        self, right: Mapping[FunnelCell, int], beyond: Mapping[FunnelCell, int]
    ) -> None:
        for shard, cells in ((RIGHT, right), (BEYOND, beyond)):
            if cells:
                await self._funnel_store.count(cells, shard=shard)

    async def note_marks(self, keys: Sequence[FunnelUser]) -> None:
        if keys:
            funnel_ids, user_ids = zip(*keys, strict=True)
            with translated():
                await self._connection.execute(_NOTE_MARKS, list(funnel_ids), list(user_ids))

    async def differing_marks(self, *, behind: str, limit: int) -> Mapping[str, Sequence[int]]:
        """Return user → the funnels that were noted of them, in the order of their ids."""
        with translated():
            rows = await self._connection.fetch(_DIFFERING_MARKS, behind, limit)
        return {row["user_id"]: row["funnel_ids"] for row in rows}

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

    async def correct(self, cells: Sequence[CellDifference], *, zone: str) -> None:
        connection = await session.connect(self._dsn, worker=self._worker)
        try:
            with translated():
                async with connection.transaction():
                    await zones.stand_by(connection, zone)
                    there = await _that_count(connection, cells)
                    for counter in COUNTERS:
                        of_table = [each for each in there if each.table == counter.table]
                        await correct(connection, counter, of_table)
        finally:
            await session.close(connection)


@asynccontextmanager
async def opened(
    dsn: str, *, live: Connection, worker: str, shadow: type[PostgresShadow] = PostgresShadow
) -> AsyncIterator[PostgresShadow]:
    """Open the shadow. `live` is the connection with the snapshot. Raises StoreUnavailable."""
    async with connected(dsn, worker=worker, writes=True) as connection:
        yield shadow(connection, live=live, dsn=dsn, worker=worker)


async def _that_count(
    connection: Connection, cells: Sequence[CellDifference]
) -> Sequence[CellDifference]:
    """Return the cells without those of funnels that were deleted meanwhile."""
    if not any(each.table == OF_FUNNELS.table for each in cells):
        return cells
    there = await still_counted(connection)
    return [
        each for each in cells if each.table != OF_FUNNELS.table or each.cell["funnel_id"] in there
    ]


def _transitions(rebuilt: Rebuilt) -> Iterator[tuple[object, ...]]:
    user_id = rebuilt.profile.user_id
    for step in rebuilt.steps:
        yield user_id, step.at, step.before, step.after, step.reason, step.policy_version
