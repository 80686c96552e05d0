"""`python -m tests.bench.segmenter.raw_sweep`: the rows of a sweep, written bare. A raw limit.

Upserts every user of the database and copies one transition for each, with the same columns into
the same tables, in transactions of 4,000 users on several connections.
"""

import argparse
import asyncio
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from io import BytesIO
from uuid import uuid4

import asyncpg
import uvloop

from shared.clock import SystemClock
from shared.database.connection import Connection
from tests.bench.segmenter.known import insert_of, values_of

IN_A_BATCH = 4_000
CONNECTIONS = 4
GIVEN = "unnest($1::text[], $2::int[], $3::timestamptz[])"
GIVEN_COLUMNS = "(user_id, part, last_seen)"
# What becomes of a user who is silent now.
_LATER = "excluded.deadline + interval '23 days'"
CHANGES = {
    "lifecycle": "'silent'",
    "lifecycle_since": "excluded.deadline",
    "deadline": _LATER,
    "deadline_to": "'churned'",
    "check_at": _LATER,
    "updated_at": "excluded.updated_at",
}
_COLUMNS = (
    "transition_id", "at", "user_id", "kind", "before", "after", "recorded_at", "reason",
    "policy_version", "historical", "evidence",
)  # fmt: skip

Batch = tuple[list[str], list[int], list[datetime], bytes]


async def run(dsn: str) -> dict[str, float]:
    pool = [await asyncpg.connect(dsn) for _ in range(CONNECTIONS)]
    try:
        rows = await pool[0].fetch(
            "SELECT user_id, part, last_seen, deadline FROM users ORDER BY 1"
        )
        for month in {row["deadline"].date().replace(day=1) for row in rows}:
            await pool[0].execute("SELECT ensure_transitions_partition($1)", month)
        batches = iter(
            [_batch(rows[at : at + IN_A_BATCH]) for at in range(0, len(rows), IN_A_BATCH)]
        )
        given = f"{GIVEN} AS given {GIVEN_COLUMNS}"
        upsert = upsert_of(await values_of(pool[0]), given)
        begun = time.monotonic()
        await asyncio.gather(*(_write(connection, upsert, batches) for connection in pool))
        return {"users_per_s": len(rows) / (time.monotonic() - begun)}
    finally:
        for connection in pool:
            await connection.close()


def upsert_of(values: Mapping[str, str], given: str) -> str:
    """Return the statement that writes users whose time has come."""
    changes = ", ".join(f"{name} = {sql}" for name, sql in CHANGES.items() if name in values)
    return f"{insert_of(values, given)} ON CONFLICT (user_id) DO UPDATE SET {changes}"


async def _write(connection: Connection, upsert: str, batches: Iterator[Batch]) -> None:
    for users, parts, instants, text in batches:
        async with connection.transaction():
            await connection.execute(upsert, users, parts, instants)
            await connection.copy_to_table("transitions", source=BytesIO(text), columns=_COLUMNS)


def _batch(rows: Sequence["asyncpg.Record"]) -> Batch:
    now = SystemClock().now().isoformat()
    text = "".join(
        f"{uuid4()}\t{row['deadline'].isoformat()}\t{row['user_id']}\tlifecycle\tactive\tsilent\t{now}"
        f'\ttime_passed\t1\tf\t{{"last_seen": "{row["last_seen"].isoformat()}",'
        ' "silent_for_s": 604800.0}\n'
        for row in rows
    )
    return (
        [row["user_id"] for row in rows],
        [row["part"] for row in rows],
        [row["last_seen"] for row in rows],
        text.encode(),
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        prog="python -m tests.bench.segmenter.raw_sweep", description=__doc__
    )
    parser.add_argument("--dsn", required=True)
    print(json.dumps(uvloop.run(run(parser.parse_args().dsn))))
