"""`python -m tests.bench.raw_postgres`: rows into Postgres and nothing else. Two raw limits."""

import argparse
import asyncio
import json
import time
from collections.abc import Awaitable, Callable, Iterator
from datetime import UTC, datetime, timedelta
from io import BytesIO

import asyncpg
import uvloop

from shared.clock import SystemClock
from shared.database.connection import Connection
from tests.bench.load import USERS, event

ROWS = 120_000
IN_A_BATCH = 4_000
CONNECTIONS = 4
_TABLES = """
    CREATE TABLE bench_events (LIKE events INCLUDING DEFAULTS INCLUDING INDEXES);
    CREATE UNIQUE INDEX ON bench_events (source, event_id);
    CREATE TABLE bench_users (LIKE users INCLUDING DEFAULTS INCLUDING INDEXES);
"""
_DROP = "DROP TABLE bench_events, bench_users"
_COLUMNS = (
    "source",
    "event_id",
    "received_at",
    "user_id",
    "type",
    "name",
    "timestamp",
    "part",
    "kafka_offset",
    "payload",
)
_UPSERT = """
    INSERT INTO bench_users AS u (user_id, part, first_seen, last_seen, span_start, lifecycle,
        lifecycle_since, deadline, deadline_to, event_count, known_at, policy_version, updated_at)
    SELECT id, 0, at, at, at, 'new', at, at, 'active', 1, at, 1, at
    FROM unnest($1::text[], $2::timestamptz[]) AS given (id, at)
    ON CONFLICT (user_id) DO UPDATE SET last_seen = excluded.last_seen,
        deadline = excluded.deadline, event_count = u.event_count + 1,
        known_at = excluded.known_at, updated_at = excluded.updated_at
"""


Work = Callable[[Connection], Awaitable[object]]


async def run(dsn: str) -> dict[str, float]:
    connections = [await asyncpg.connect(dsn) for _ in range(CONNECTIONS)]
    await connections[0].execute(_TABLES)
    try:
        copies = await _rate(connections, _copies())
        upserts = await _rate(connections, _upserts())
    finally:
        await connections[0].execute(_DROP)
        for connection in connections:
            await connection.close()
    return {"copied_rows_per_s": copies, "upserted_rows_per_s": upserts}


async def _rate(connections: list[Connection], work: list[Work]) -> float:
    """Share the work among the connections and return rows a second."""
    left = iter(work)
    begun = time.monotonic()
    async with asyncio.TaskGroup() as together:
        for connection in connections:
            together.create_task(_do(connection, left))
    return len(work) * IN_A_BATCH / (time.monotonic() - begun)


async def _do(connection: Connection, left: Iterator[Work]) -> None:
    for work in left:
        await work(connection)


def _copies() -> list[Work]:
    at = SystemClock().now().isoformat()
    return [_copy(first, at) for first in range(0, ROWS, IN_A_BATCH)]


def _copy(first: int, at: str) -> Work:
    lines = (
        f"bench\t{number:030d}\t{at}\tuser-{number % USERS:08d}\ttrack\tSong Played\t{at}\t0\t"
        f"{number}\t{event(identity=f'{number:030d}', user='user', at=at)}\n"
        for number in range(first, first + IN_A_BATCH)
    )
    text = "".join(lines).encode()
    return lambda connection: connection.copy_to_table(
        "bench_events", source=BytesIO(text), columns=_COLUMNS
    )


def _upserts() -> list[Work]:
    return [_upsert(first) for first in range(0, ROWS, IN_A_BATCH)]


def _upsert(first: int) -> Work:
    # In key order and without a user twice, so that connections neither wait in circles nor fail.
    numbers = sorted({number * 7_919 % USERS for number in range(first, first + IN_A_BATCH)})
    ids = [f"user-{number:08d}" for number in numbers]
    at = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(milliseconds=first)
    return lambda connection: connection.execute(_UPSERT, ids, [at] * len(ids))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m tests.bench.raw_postgres", description=__doc__)
    parser.add_argument("--dsn", required=True)
    print(json.dumps(uvloop.run(run(parser.parse_args().dsn))))
