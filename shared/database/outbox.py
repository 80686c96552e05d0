"""Messages that leave with a transaction: written in it, sent after it, deleted after the ack.

Never read past the last id seen: ids of one partition commit in order, for its lane is one writer,
but a message that could not be sent yet must be found again.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from shared.database.connection import Connection


@dataclass(frozen=True, slots=True)
class OutboxRow:
    """One message waiting to be sent; `created_at` is product time."""

    id: int
    part: int
    topic: str
    key: bytes
    value: bytes
    created_at: datetime


async def insert(
    connection: Connection,
    group: str,
    part: int,
    *,
    messages: Sequence[tuple[str, bytes, bytes, datetime]],
) -> None:
    """Add messages (topic, key, value, instant), in their order."""
    topics, keys, values, instants = zip(*messages, strict=True)
    await connection.execute(
        """
        INSERT INTO outbox (grp, part, topic, key, value, created_at)
        SELECT $1, $2, topic, key, value, created_at
        FROM unnest($3::text[], $4::bytea[], $5::bytea[], $6::timestamptz[])
             WITH ORDINALITY AS message (topic, key, value, created_at, position)
        ORDER BY position
        """,
        group,
        part,
        list(topics),
        list(keys),
        list(values),
        list(instants),
    )


async def waiting(
    connection: Connection, group: str, *, worker: str, topics: Sequence[str], limit: int
) -> list[OutboxRow]:
    """Return the oldest messages, at most `limit` of each partition that the worker is relay for.

    That is its owner; a frozen one has none, so the first by name of the live workers does it. Where
    two topics share a partition number, the first topic's one counts: each partition number has one
    relay, as long as each partition has one owner.
    """
    rows = await connection.fetch(
        """
        SELECT message.id, message.part, message.topic, message.key, message.value,
               message.created_at
        FROM (
            SELECT DISTINCT ON (part) part,
                   CASE WHEN frozen_reason IS NULL THEN owner ELSE (
                       SELECT min(worker) FROM consumer_worker
                       WHERE grp = $1 AND alive_until > clock_timestamp() AND NOT leaving
                   ) END AS relay
            FROM consumer_partition
            WHERE grp = $1 AND topic = ANY ($3::text[])
            ORDER BY part, array_position($3::text[], topic)
        ) AS relayed
        CROSS JOIN LATERAL (
            SELECT id, part, topic, key, value, created_at FROM outbox
            WHERE grp = $1 AND part = relayed.part
            ORDER BY id LIMIT $4
        ) AS message
        WHERE relayed.relay = $2
        ORDER BY message.id
        """,
        group,
        worker,
        list(topics),
        limit,
    )
    return [OutboxRow(**dict(row)) for row in rows]


async def delete(connection: Connection, ids: Sequence[int]) -> None:
    """Forget messages that the log acknowledged."""
    await connection.execute("DELETE FROM outbox WHERE id = ANY ($1::bigint[])", list(ids))
