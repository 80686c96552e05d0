"""The leases: who is alive, who folds which partition, and how far. SQL only, one query each.

Times here are lease time, the database's own clock; only a partition's watermark and the moment of
its last fold are product time. Every function may raise the driver's errors: callers translate.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import asyncpg

from shared.database.connection import Connection
from shared.database.literals import literal

CHANNEL = "ebbtide_lanes"


@dataclass(frozen=True, slots=True, order=True)
class Partition:
    """One partition of one topic, as one group reads it."""

    group: str
    topic: str
    part: int


@dataclass(frozen=True, slots=True)
class Worker:
    """A worker whose lease runs for `remaining_s` more; one that is leaving takes no more work."""

    name: str
    leaving: bool
    remaining_s: float


@dataclass(frozen=True, slots=True)
class Holding:
    """Who a partition belongs to, as last committed."""

    partition: Partition
    owner: str | None
    frozen_reason: str | None


@dataclass(frozen=True, slots=True)
class Claim:
    """What a successful claim found: where to begin, and the epoch that fences all earlier owners."""

    epoch: int
    next_offset: int
    watermark: datetime | None
    incarnation: str | None


@dataclass(frozen=True, slots=True)
class Stored:
    """Whose a partition is, and where its owner goes on."""

    owner: str | None
    epoch: int
    next_offset: int


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a partition is folded; `watermark`: where all that is due by then was swept, too."""

    next_offset: int
    folded_until: datetime | None
    watermark: datetime | None
    end_offset: int | None
    folded_at: datetime


async def beat(connection: Connection, group: str, worker: str, *, lease_s: float) -> None:
    """Renew the worker's own row for `lease_s` more."""
    await connection.execute(
        """
        INSERT INTO consumer_worker (grp, worker, alive_until, leaving)
        VALUES ($1, $2, clock_timestamp() + make_interval(secs => $3), false)
        ON CONFLICT (grp, worker)
        DO UPDATE SET alive_until = EXCLUDED.alive_until, leaving = false
        """,
        group,
        worker,
        lease_s,
    )


async def leave(connection: Connection, group: str, worker: str, *, lease_s: float) -> None:
    """Say that the worker takes no more work, while what it holds stays protected."""
    await connection.execute(
        """
        UPDATE consumer_worker
        SET leaving = true, alive_until = clock_timestamp() + make_interval(secs => $3)
        WHERE grp = $1 AND worker = $2
        """,
        group,
        worker,
        lease_s,
    )


async def say_goodbye(connection: Connection, group: str, worker: str) -> None:
    """Delete the worker's row: from here on nothing protects what it held."""
    await connection.execute(
        "DELETE FROM consumer_worker WHERE grp = $1 AND worker = $2", group, worker
    )


async def forget_dead(connection: Connection, group: str, *, dead_for_s: float) -> None:
    """Delete the rows of workers that died long ago; to a claim they are the same as no row."""
    await connection.execute(
        """
        DELETE FROM consumer_worker
        WHERE grp = $1 AND alive_until < clock_timestamp() - make_interval(secs => $2)
        """,
        group,
        dead_for_s,
    )


async def alive_workers(connection: Connection, group: str) -> list[Worker]:
    """Return the workers whose lease still runs."""
    rows = await connection.fetch(
        """
        SELECT worker, leaving,
               extract(epoch FROM alive_until - clock_timestamp())::float8 AS remaining_s
        FROM consumer_worker
        WHERE grp = $1 AND alive_until > clock_timestamp()
        """,
        group,
    )
    return [Worker(row["worker"], row["leaving"], row["remaining_s"]) for row in rows]


async def holdings(connection: Connection, group: str, *, topics: Sequence[str]) -> list[Holding]:
    """Return every partition of the topics with its owner, without locks."""
    rows = await connection.fetch(
        """
        SELECT topic, part, owner, frozen_reason FROM consumer_partition
        WHERE grp = $1 AND topic = ANY ($2::text[])
        """,
        group,
        list(topics),
    )
    return [
        Holding(Partition(group, row["topic"], row["part"]), row["owner"], row["frozen_reason"])
        for row in rows
    ]


async def add_partitions(connection: Connection, partitions: Sequence[Partition]) -> None:
    """Make the rows of partitions that were not known yet."""
    await connection.executemany(
        """
        INSERT INTO consumer_partition (grp, topic, part) VALUES ($1, $2, $3)
        ON CONFLICT (grp, topic, part) DO NOTHING
        """,
        [(each.group, each.topic, each.part) for each in partitions],
    )


async def claim(connection: Connection, partition: Partition, worker: str) -> Claim | None:
    """Take the partition, waiting for its old owner's commit; None where a living one has it."""
    row = await connection.fetchrow(
        """
        UPDATE consumer_partition AS mine
        SET epoch = epoch + 1, owner = $4, claimed_at = clock_timestamp()
        WHERE grp = $1 AND topic = $2 AND part = $3 AND frozen_reason IS NULL
          AND (owner IS NULL OR owner = $4 OR NOT EXISTS (
                SELECT FROM consumer_worker AS other
                WHERE other.grp = mine.grp AND other.worker = mine.owner
                  AND other.alive_until > clock_timestamp()))
        RETURNING epoch, next_offset, watermark, topic_incarnation
        """,
        *_key(partition),
        worker,
    )
    if row is None:
        return None
    return Claim(row["epoch"], row["next_offset"], row["watermark"], row["topic_incarnation"])


async def begin_at(
    connection: Connection,
    partition: Partition,
    *,
    epoch: int,
    next_offset: int,
    incarnation: str | None,
) -> None:
    """Store where a partition begins, and which making of its topic the offset belongs to."""
    await connection.execute(
        """
        UPDATE consumer_partition SET next_offset = $5, topic_incarnation = $6
        WHERE grp = $1 AND topic = $2 AND part = $3 AND epoch = $4
        """,
        *_key(partition),
        epoch,
        next_offset,
        incarnation,
    )


async def begin_holding(
    connection: Connection, partition: Partition, worker: str, *, epoch: int, next_offset: int
) -> bool:
    """Begin a transaction that holds the partition's row, if that is as told: in one round trip.

    Returns False, and no transaction is open, where it is not. After an error one is, and has failed.
    """
    # The only way in which one statement of several can stop the others is to fail.
    held = f"""
        SELECT FROM consumer_partition
        WHERE {_is(partition)} AND owner = {literal(worker)} AND epoch = {literal(epoch)}
          AND next_offset = {literal(next_offset)}
        FOR UPDATE
    """
    try:
        await connection.execute(
            f"BEGIN; SELECT 1 / count(*) FROM ({held}) AS held"  # noqa: S608  literals, which are quoted
        )
    except asyncpg.DivisionByZeroError:
        await connection.execute("ROLLBACK")
        return False
    return True


async def stored(connection: Connection, partition: Partition) -> Stored | None:
    """Return what the partition's row says, without a lock."""
    row = await connection.fetchrow(
        """
        SELECT owner, epoch, next_offset FROM consumer_partition
        WHERE grp = $1 AND topic = $2 AND part = $3
        """,
        *_key(partition),
    )
    return None if row is None else Stored(row["owner"], row["epoch"], row["next_offset"])


async def advance_and_commit(
    connection: Connection, partition: Partition, progress: Progress
) -> None:
    """Store how far the partition is folded, its watermark never falling, and commit: in one round trip.

    No condition on owner or epoch: what `begin_holding` holds is the one fence, and a second one here would
    hide from the tests that the first had gone.
    """
    await connection.execute(
        f"""
        UPDATE consumer_partition
        SET next_offset = {literal(progress.next_offset)},
            watermark = greatest(watermark, {literal(progress.watermark)}),
            end_offset = coalesce({literal(progress.end_offset)}, end_offset),
            folded_at = {literal(progress.folded_at)},
            folded_until = greatest(folded_until, {literal(progress.folded_until)})
        WHERE {_is(partition)};
        COMMIT
        """  # noqa: S608  literals, which are quoted
    )


async def folded_until(
    connection: Connection, group: str, topic: str
) -> dict[int, datetime | None]:
    """Return partition → up to when it is folded (None: it has not begun), without locks."""
    rows = await connection.fetch(
        """
        SELECT part, greatest(folded_until, watermark) AS until FROM consumer_partition
        WHERE grp = $1 AND topic = $2
        """,
        group,
        topic,
    )
    return {row["part"]: row["until"] for row in rows}


async def release(
    connection: Connection, partition: Partition, worker: str, *, epoch: int | None = None
) -> None:
    """Give the partition up, if this worker (and this epoch, where given) still has it."""
    await connection.execute(
        """
        UPDATE consumer_partition SET owner = NULL
        WHERE grp = $1 AND topic = $2 AND part = $3 AND owner = $4
          AND ($5::bigint IS NULL OR epoch = $5)
        """,
        *_key(partition),
        worker,
        epoch,
    )


async def release_all(connection: Connection, group: str, worker: str) -> None:
    """Give up whatever the worker still has in the group."""
    await connection.execute(
        "UPDATE consumer_partition SET owner = NULL WHERE grp = $1 AND owner = $2", group, worker
    )


async def freeze(
    connection: Connection, partition: Partition, worker: str, *, epoch: int, reason: str
) -> None:
    """Stop the partition for every worker until an operator clears the reason.

    What was committed before still leaves: `outbox.waiting` finds a relay for it.
    """
    await connection.execute(
        """
        UPDATE consumer_partition SET frozen_reason = $6, owner = NULL
        WHERE grp = $1 AND topic = $2 AND part = $3 AND owner = $4 AND epoch = $5
        """,
        *_key(partition),
        worker,
        epoch,
        reason,
    )


async def notify(connection: Connection, group: str) -> None:
    """Wake the group's keepers: something changed that they may act on."""
    await connection.execute("SELECT pg_notify($1, $2)", CHANNEL, group)


async def listen(connection: Connection, group: str, *, woken: Callable[[], None]) -> None:
    """Call `woken` whenever a keeper of the group should look."""

    def on_notice(_connection: Any, _process: int, _channel: str, payload: object) -> None:
        if payload == group:
            woken()

    await connection.add_listener(CHANNEL, on_notice)


def _key(partition: Partition) -> tuple[str, str, int]:
    return partition.group, partition.topic, partition.part


def _is(partition: Partition) -> str:
    group, topic, part = (literal(each) for each in _key(partition))
    return f"grp = {group} AND topic = {topic} AND part = {part}"
