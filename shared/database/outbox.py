"""Messages that leave with a transaction: written in it, sent after it, deleted after the ack.

One row holds many messages of a transaction, in their order: a row costs about as much as what is in it. Never
read past the last id seen: ids of one partition commit in order, for its lane is one writer, but a message that
could not be sent yet must be found again.
"""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any, Final

import msgspec

from shared.database.connection import Connection

# A row is read, sent and forgotten in one piece: it must stay small beside the lanes' own work.
ROW_MESSAGES = 500
ROW_BYTES = 512 * 1024

_pack: Final = msgspec.msgpack.Encoder().encode
_unpack: Final = msgspec.msgpack.Decoder(list[tuple[bytes, bytes]]).decode


class OutboxMessage(msgspec.Struct, frozen=True, gc=False):
    """A message that leaves with the transaction. `at` is product time, its record's timestamp."""

    topic: str
    key: bytes
    value: bytes
    at: datetime


class OutboxRow(msgspec.Struct, frozen=True):
    """Messages (key, value) that wait to be sent; `created_at` is product time.

    Those whose places are in `settled` wait no more. A place is a message's for good. `unreadable`: what the row
    holds in place of messages, where somebody else has written it.
    """

    id: int
    part: int
    topic: str
    created_at: datetime
    messages: list[tuple[bytes, bytes]]
    settled: frozenset[int]
    unreadable: bytes | None = None


async def insert(
    connection: Connection, group: str, part: int, *, messages: Sequence[OutboxMessage]
) -> None:
    """Add messages, in their order."""
    await connection.executemany(
        "INSERT INTO outbox (grp, part, topic, created_at, number, packed)"
        " VALUES ($1, $2, $3, $4, $5, $6)",
        [
            (group, part, row[0].topic, row[0].at, len(row), packed(row))
            for row in in_rows(messages)
        ],
    )


def in_rows(messages: Sequence[OutboxMessage]) -> Iterator[Sequence[OutboxMessage]]:
    """Yield the messages of one row after the other: of one topic and instant, and not too many."""
    begin, size = 0, 0
    for index, each in enumerate(messages):
        first, length = messages[begin], len(each.key) + len(each.value)
        is_full = index - begin == ROW_MESSAGES or size + length > ROW_BYTES
        if index > begin and (is_full or each.topic != first.topic or each.at != first.at):
            yield messages[begin:index]
            begin, size = index, 0
        size += length
    if messages:
        yield messages[begin:]


def packed(messages: Sequence[OutboxMessage]) -> bytes:
    """Return the messages as a row keeps them: one value, for each that the driver encodes has its price."""
    return _pack([(each.key, each.value) for each in messages])


async def waiting(
    connection: Connection, group: str, *, worker: str, topics: Sequence[str], limit: int
) -> list[OutboxRow]:
    """Return the oldest rows of each partition that the worker is relay for: at most `limit` messages, or one row.

    That is its owner; a frozen one has none, so the first by name of the live workers does it. Where
    two topics share a partition number, the first topic's one counts: each partition number has one
    relay, as long as each partition has one owner.
    """
    rows = await connection.fetch(
        """
        SELECT oldest.id, oldest.part, oldest.topic, oldest.created_at, oldest.packed, oldest.settled
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
            SELECT *, sum(waiting) OVER (ORDER BY id) AS up_to
            FROM (
                SELECT *, number - cardinality(settled) AS waiting FROM outbox
                WHERE grp = $1 AND part = relayed.part ORDER BY id LIMIT $4
            ) AS candidate
        ) AS oldest
        WHERE relayed.relay = $2 AND oldest.up_to <= greatest($4, oldest.waiting)
        ORDER BY oldest.id
        """,
        group,
        worker,
        list(topics),
        limit,
    )
    return [_row_of(row) for row in rows]


def _row_of(row: Sequence[Any]) -> OutboxRow:
    id_, part, topic, created_at, pairs, settled = row
    try:
        messages = _unpack(pairs)
    except msgspec.DecodeError:
        return OutboxRow(id_, part, topic, created_at, [], frozenset(), unreadable=pairs)
    return OutboxRow(id_, part, topic, created_at, messages, frozenset(settled))


async def settle(connection: Connection, row_id: int, places: Sequence[int]) -> None:
    """Remember which of a row's messages need not be sent again, while others wait."""
    await connection.execute(
        """
        UPDATE outbox SET settled = ARRAY(SELECT DISTINCT unnest(settled || $2::integer[]))
        WHERE id = $1
        """,
        row_id,
        list(places),
    )


async def delete(connection: Connection, ids: Sequence[int]) -> None:
    """Forget rows whose messages are all settled."""
    await connection.execute("DELETE FROM outbox WHERE id = ANY ($1::bigint[])", list(ids))
