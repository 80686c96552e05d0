"""Users whom the segmenter knows already: rows of the users table, as it would have written them."""

from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
from contextlib import asynccontextmanager
from datetime import datetime

import asyncpg

from shared.contracts import topics
from shared.database.connection import Connection
from shared.kafka.partitioner import partition_of
from tests.bench.segmenter.workload import user_id
from tests.bench.segmenter.world import World
from tests.servers import Database

# What each column of an active user holds, from `last_seen` on: active day by day for a month.
EXPRESSIONS = {
    "user_id": "given.user_id",
    "part": "given.part",
    "first_seen": "given.last_seen - interval '30 days'",
    "last_seen": "given.last_seen",
    "span_start": "given.last_seen - interval '30 days'",
    "earlier_spans": "'{}'",
    "lifecycle": "'active'",
    "lifecycle_since": "given.last_seen - interval '30 days' + policy.new_for",
    "deadline": "given.last_seen + policy.silent_after",
    "deadline_to": "'silent'",
    "check_at": "given.last_seen + policy.silent_after",
    "first_day": "(given.last_seen - interval '30 days')::date",
    "days": r"'\xffffff7f'::bytea",
    "channel": "'unknown'",
    "platform": "'unknown'",
    "event_count": "40",
    "known_at": "given.last_seen",
    "policy_version": "policy.version",
    "revision": "0",
    "updated_at": "given.last_seen",
    "also_parts": "'{}'",
    "merged_into": "NULL::text",
}
# What a column that came later may hold where it must hold something.
BY_TYPE = {
    "text": "''",
    "integer": "0",
    "smallint": "0",
    "bigint": "0",
    "double precision": "0",
    "real": "0",
    "numeric": "0",
    "boolean": "false",
    "timestamp with time zone": "given.last_seen",
    "date": "given.last_seen::date",
    "interval": "'0'",
    "ARRAY": "'{}'",
    "json": "'{}'",
    "jsonb": "'{}'",
    "bytea": "''",
}
POLICY = """
    (SELECT * FROM policies WHERE activated_at IS NOT NULL
     ORDER BY activated_at DESC, version DESC LIMIT 1) AS policy
"""
_COLUMNS = """
    SELECT column_name, data_type, is_nullable = 'NO' AND column_default IS NULL AS needed
    FROM information_schema.columns
    WHERE table_schema = 'public' AND table_name = 'users' AND is_generated = 'NEVER'
    ORDER BY ordinal_position
"""
_STAGING = "CREATE TEMPORARY TABLE given (user_id text, part integer, last_seen timestamptz)"

LastSeen = Callable[[int], datetime]
Known = tuple[str, int, datetime]  # id, part, last seen


async def values_of(connection: Connection) -> dict[str, str]:
    """Return column → SQL for the users table as it is now."""
    found = {}
    for row in await connection.fetch(_COLUMNS):
        name = row["column_name"]
        if name in EXPRESSIONS:
            found[name] = EXPRESSIONS[name]
        elif row["needed"]:
            found[name] = BY_TYPE[row["data_type"]]
    return found


def insert_of(values: Mapping[str, str], source: str) -> str:
    """Return the statement that writes users from `given` rows of user_id, part and last_seen."""
    return (
        f"INSERT INTO users ({', '.join(values)})"  # noqa: S608  names from the catalog
        f" SELECT {', '.join(values.values())} FROM {source}, {POLICY}"
    )


@asynccontextmanager
async def known_users(
    world: World, users: int, *, last_seen: LastSeen, prefix: str = "user"
) -> AsyncIterator[Database]:
    """Give a database to copy in which so many users are known; dropped afterwards."""
    async with world.database() as made:
        connection = await asyncpg.connect(made.owner)
        try:
            await add_known(connection, records(range(users), last_seen, prefix))
            await connection.execute("VACUUM ANALYZE users")
        finally:
            await connection.close()
        yield made


async def add_known(connection: Connection, given: Iterable[Known]) -> None:
    """Write users of these ids and parts, last seen then."""
    await connection.execute(_STAGING)
    await connection.copy_records_to_table("given", records=given)
    await connection.execute(insert_of(await values_of(connection), "given"))


def records(numbers: Iterable[int], last_seen: LastSeen, prefix: str) -> Iterator[Known]:
    """Yield the users of these numbers, each with the partition by which they come."""
    for number in numbers:
        user = user_id(number, prefix=prefix)
        yield user, partition_of(user.encode(), topics.DEFAULT_PARTITIONS), last_seen(number)
