"""One measurement: segmenters, started on a backlog, from the first commit that is seen to the last."""

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import asyncpg

from shared.contracts import topics
from shared.database.connection import Connection
from tests.bench.segmenter import vitals
from tests.bench.segmenter.world import NeverHeld, Program, World, stopping
from tests.servers import Database

EVERY_S = 0.03
STANDS_STILL_S = 30.0
# So much of the backlog at least lies in the measurement, or it began too late to say anything.
LEAST_SHARE = 0.3
_STATE = """
    SELECT coalesce(sum(next_offset), 0)::bigint AS folded,
           (SELECT array_agg(parts) FROM (
                SELECT count(*) AS parts FROM consumer_partition
                WHERE grp = 'segmenter' AND topic = $1 AND owner IS NOT NULL GROUP BY owner
            ) AS share) AS shares,
           (pg_current_wal_lsn() - '0/0'::pg_lsn)::bigint AS wal
    FROM consumer_partition WHERE grp = 'segmenter' AND topic = $1
"""
_ROWS = "SELECT sum(n_tup_ins + n_tup_upd + n_tup_del)::bigint FROM pg_stat_user_tables"


@dataclass(frozen=True, slots=True)
class Sample:
    """How far it was at a moment, and what it had cost by then."""

    at: float
    folded: int
    cpu_s: float
    wal: int


@dataclass(frozen=True, slots=True)
class Run:
    """What one measurement says."""

    events_per_s: float
    cpu_s_per_100k: float
    wal_bytes_per_event: float
    rows_per_event: float
    peak_rss_mb: float
    whole_s: float  # from the start of the processes to the last commit


def between(begin: Sample, end: Sample, *, rows: float, rss: float, whole_s: float) -> Run:
    """Return what happened from one sample to the other."""
    events = end.folded - begin.folded
    return Run(
        events_per_s=events / (end.at - begin.at),
        cpu_s_per_100k=(end.cpu_s - begin.cpu_s) / events * 100_000,
        wal_bytes_per_event=(end.wal - begin.wal) / events,
        rows_per_event=rows,
        peak_rss_mb=rss,
        whole_s=whole_s,
    )


class Folding:
    """Watches segmenters at work on a database."""

    def __init__(
        self,
        connection: Connection,
        programs: Sequence[Program],
        *,
        backlog: int,
        longest_s: float,
    ) -> None:
        self._connection = connection
        self._programs = programs
        self._backlog = backlog
        self._longest_s = longest_s
        self._share = topics.DEFAULT_PARTITIONS // len(programs)

    async def watch(self) -> tuple[Sample, Sample]:
        """Return the state when all the processes are at work, and when nothing is left.

        Or when the time is up: what was folded by then counts.
        """
        begin = latest = await self._first()
        moved_at = begin.at
        while latest.folded < self._backlog and latest.at - begin.at < self._longest_s:
            await asyncio.sleep(EVERY_S)
            before, (latest, _) = latest, await self._sample()
            moved_at = latest.at if latest.folded > before.folded else moved_at
            if latest.at - moved_at > STANDS_STILL_S:
                raise NeverHeld(
                    f"{latest.folded:,} of {self._backlog:,} folded, and no more"
                    f"\n{self._programs[0].last_words()}"
                )
        if latest.folded - begin.folded < LEAST_SHARE * min(self._backlog, latest.folded):
            raise NeverHeld("the backlog is too small: it was nearly folded before all worked")
        return begin, latest

    async def _first(self) -> Sample:
        """Wait for the first commit that is seen once every process has its share of the lanes."""
        rest: int | None = None
        until = time.monotonic() + STANDS_STILL_S
        while time.monotonic() < until:
            sample, shares = await self._sample()
            if shares == [self._share] * len(self._programs):
                rest = sample.folded if rest is None else rest
                if sample.folded > rest:
                    return sample
            await asyncio.sleep(EVERY_S / 3)
        raise NeverHeld(f"no commit in {STANDS_STILL_S:.0f} s\n{self._programs[0].last_words()}")

    async def _sample(self) -> tuple[Sample, list[int]]:
        for program in self._programs:
            program.must_live()
        row = await self._connection.fetchrow(_STATE, topics.EVENTS.name)
        assert row is not None
        cpu_s = vitals.cpu_s(program.pid for program in self._programs)
        return Sample(time.monotonic(), row["folded"], cpu_s, row["wal"]), row["shares"] or []


async def fold(
    world: World,
    database: Database,
    *,
    backlog: int,
    processes: int = 1,
    settings: Mapping[str, str] | None = None,
    longest_s: float = 60.0,
) -> Run:
    """Start segmenters on the backlog, and measure until all of it is folded."""
    connection = await asyncpg.connect(database.owner)
    begun = time.monotonic()
    programs = [world.start("segmenter", database, settings=settings) for _ in range(processes)]
    try:
        async with stopping(*programs):
            folding = Folding(connection, programs, backlog=backlog, longest_s=longest_s)
            begin, end = await folding.watch()
            rss = max(vitals.peak_rss_mb(program.pid) for program in programs)
        whole_s = end.at - begun
        rows = await rows_per_event(connection, await _folded(connection))
    finally:
        await connection.close()
    return between(begin, end, rows=rows, rss=rss, whole_s=whole_s)


async def rows_per_event(connection: Connection, folded: int) -> float:
    """Return rows written (added, changed, deleted) since the database was made, for each event.

    The services have ended, so that the server has counted all that they did.
    """
    await connection.execute("SELECT pg_stat_clear_snapshot()")
    written: int = await connection.fetchval(_ROWS)
    return written / folded


async def _folded(connection: Connection) -> int:
    row = await connection.fetchrow(_STATE, topics.EVENTS.name)
    assert row is not None
    folded: int = row["folded"]
    return folded
