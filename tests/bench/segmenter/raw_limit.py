"""The raw limit of a fold: its table, and the program that fills it."""

import asyncio
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import asyncpg

from shared.clock import SystemClock
from shared.contracts import topics
from shared.database.connection import Connection
from tests.bench import programs
from tests.bench.segmenter.world import World

TABLE = "bench_raw"
_CHILDREN = """
    SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = 'events'::regclass LIMIT 1
"""


async def copy_rate(world: World, *, indexes: bool = True, processes: int = 1) -> float:
    """Return events a second that bare programs take from the topic into a table like the log's."""
    async with world.database() as database:
        await make_table(database.owner, SystemClock().now(), indexes=indexes)
        ran = await asyncio.gather(
            *(
                programs.run(
                    "segmenter.raw_copy",
                    bootstrap=world.bootstrap,
                    dsn=database.owner,
                    table=TABLE,
                    parts=parts,
                )
                for parts in _shares(processes)
            )
        )
    took_s = max(each["ended"] for each in ran) - min(each["begun"] for each in ran)
    return float(sum(each["events"] for each in ran) / took_s)


async def bytewax_rate(world: World, python: Path, *, once: bool) -> dict[str, Any]:
    """Return what Bytewax's dataflow says of itself, on the same topic and the same event table.

    It does the core job, exactly once, or less, without recovery.
    """
    snapshots = {"exactly-once": world.directory / f"bytewax-{uuid4().hex}"} if once else {}
    async with world.database() as database:
        await make_table(database.owner, SystemClock().now(), indexes=True)
        return await programs.run(
            "segmenter.bytewax_flow",
            python=python,
            bootstrap=world.bootstrap,
            dsn=database.owner,
            table=TABLE,
            **snapshots,
        )


def _shares(processes: int) -> Iterator[str]:
    for first in range(processes):
        yield ",".join(map(str, range(first, topics.DEFAULT_PARTITIONS, processes)))


async def make_table(dsn: str, today: datetime, *, indexes: bool) -> None:
    """Make a table with the columns of a day of the event log, and with its indexes or without."""
    connection = await asyncpg.connect(dsn)
    try:
        log = await _a_day_of_the_log(connection, today)
        kept = "INCLUDING ALL" if indexes else "INCLUDING DEFAULTS"
        await connection.execute(f"CREATE TABLE {TABLE} (LIKE {log} {kept})")
    finally:
        await connection.close()


async def _a_day_of_the_log(connection: Connection, today: datetime) -> str:
    await connection.execute("SELECT ensure_events_partition($1)", today.date())
    return str(await connection.fetchval(_CHILDREN))
