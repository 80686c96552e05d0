"""Whether the system has done all there was to do, seen from outside: Kafka's ends, Postgres' rows."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta

import asyncpg
from confluent_kafka import Consumer, TopicPartition

from shared.contracts import topics
from shared.database.connection import Connection

# A watermark at the end of a partition stays this far behind the clock, and a little for rounding.
MARGIN = timedelta(milliseconds=260)
_BEHIND = """
    SELECT wanted.part, wanted.ends, lane.next_offset, lane.watermark
    FROM unnest($3::integer[], $4::bigint[]) AS wanted (part, ends)
    LEFT JOIN consumer_partition lane
      ON lane.grp = $1 AND lane.topic = $2 AND lane.part = wanted.part
    WHERE coalesce(lane.next_offset, 0) < wanted.ends
       OR ($5::timestamptz IS NOT NULL AND coalesce(lane.watermark, '-infinity') < $5)
    ORDER BY wanted.part
"""


async def caught_up(
    dsn: str, bootstrap: str, *, until: datetime, alerts: bool, within_s: float
) -> None:
    """Wait for it; see Stack.caught_up. Raises TimeoutError saying what is amiss."""
    deadline = asyncio.get_running_loop().time() + within_s
    connection = await asyncpg.connect(dsn)
    try:
        await _wait_for(lambda: _unfolded(connection, bootstrap, until), deadline)
        await _wait_for(lambda: _undone(connection, until), deadline)
        if alerts:
            await _wait_for(lambda: _unread(connection, bootstrap), deadline)
    finally:
        await connection.close()


async def jobs_done(dsn: str, *, within_s: float) -> None:
    """Wait until no job of any kind has still to be done. Raises TimeoutError saying which."""
    deadline = asyncio.get_running_loop().time() + within_s
    connection = await asyncpg.connect(dsn)
    try:
        await _wait_for(lambda: _to_do(connection), deadline)
    finally:
        await connection.close()


def end_offsets(bootstrap: str, topic: str) -> dict[int, int]:
    """Return partition → end of a topic, as a client other than the services' sees it."""
    client = Consumer({"bootstrap.servers": bootstrap, "group.id": "progress"})
    try:
        known = client.list_topics(topic, timeout=10).topics[topic].partitions
        return {
            part: client.get_watermark_offsets(TopicPartition(topic, part), timeout=10)[1]
            for part in known
        }
    finally:
        client.close()


async def _wait_for(amiss: Callable[[], Awaitable[str]], deadline: float) -> None:
    while found := await amiss():
        if asyncio.get_running_loop().time() > deadline:
            raise TimeoutError(found)
        await asyncio.sleep(0.1)


async def _to_do(connection: Connection) -> str:
    rows = await connection.fetch(
        "SELECT kind, state, error FROM jobs WHERE state IN ('waiting', 'running')"
        " UNION ALL SELECT 'funnel', state, name FROM funnels WHERE state = 'backfilling'"
    )
    return "; ".join(str(dict(row)) for row in rows)


async def _unfolded(connection: Connection, bootstrap: str, until: datetime) -> str:
    return await _behind(
        connection, bootstrap, group="segmenter", topic=topics.EVENTS.name, until=until
    )


async def _unread(connection: Connection, bootstrap: str) -> str:
    return await _behind(connection, bootstrap, group="alerts", topic=topics.TRANSITIONS.name)


async def _behind(
    connection: Connection,
    bootstrap: str,
    *,
    group: str,
    topic: str,
    until: datetime | None = None,
) -> str:
    ends = await asyncio.to_thread(end_offsets, bootstrap, topic)
    rows = await connection.fetch(_BEHIND, group, topic, list(ends), list(ends.values()), until)
    return "; ".join(f"{group} {topic} {dict(row)} until {until}" for row in rows)


async def _undone(connection: Connection, until: datetime) -> str:
    due = await connection.fetchval("SELECT count(*) FROM users WHERE deadline <= $1", until)
    unsent = await connection.fetchval("SELECT count(*) FROM outbox_messages")
    return (
        f"{due} users due until {until}, {unsent} messages in the outbox" if due or unsent else ""
    )
