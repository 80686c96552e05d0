"""How fast the segmenter folds what waits in Kafka: a backlog that ingest took from HTTP."""

import asyncio
import time
from collections.abc import Callable

import asyncpg

from shared.contracts import topics
from shared.database.connection import Connection
from tests.system import progress

LONGEST_S = 60.0
EVERY_S = 0.2
_FOLDED = """
    SELECT coalesce(sum(next_offset), 0)::bigint FROM consumer_partition
    WHERE grp = 'segmenter' AND topic = $1
"""


async def folded_per_s(dsn: str, bootstrap: str, *, tell: Callable[[str], None]) -> float:
    """Return events a second from the first that is seen folded to the last, or to the time limit."""
    ends = await asyncio.to_thread(progress.end_offsets, bootstrap, topics.EVENTS.name)
    backlog = sum(ends.values())
    connection = await asyncpg.connect(dsn)
    try:
        before = begin = await _first_progress(connection)
        begun = now = time.monotonic()
        while before < backlog and now - begun < LONGEST_S:
            await asyncio.sleep(EVERY_S)
            before, now = await _folded(connection), time.monotonic()
        tell(f"{before:,} of {backlog:,} events folded in {now - begun:.1f} s")
        if before == begin:
            raise RuntimeError("the segmenter folds nothing")
        return (before - begin) / (now - begun)
    finally:
        await connection.close()


async def _first_progress(connection: Connection) -> int:
    folded = rest = await _folded(connection)
    async with asyncio.timeout(LONGEST_S):
        while folded == rest:
            await asyncio.sleep(EVERY_S / 4)
            folded = await _folded(connection)
    return folded


async def _folded(connection: Connection) -> int:
    folded: int = await connection.fetchval(_FOLDED, topics.EVENTS.name)
    return folded
