"""Reads one partition of the log: assigned once, in no group, committing nothing.

One consumer serves one lane. It never moves by itself: an offset that the log does not hold is an
error, and bytes are handed over as they are, for a deserializer that raises would stop it for ever.
"""

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.client import AIOKafkaClient
from aiokafka.errors import (
    IncompatibleBrokerVersion,
    KafkaError,
    OffsetOutOfRangeError,
)

from shared.errors import BrokerUnavailable, LogTruncated
from shared.kafka import aiokafka_private as private
from shared.kafka.log_noise import quieten_aiokafka
from shared.kafka.records import Record
from shared.kafka.topic_ids import TopicIdRequest

REQUEST_MS = 5_000
START_S = 8.0
STOP_S = 3.0
# A whole batch of 8,000 events of 800 bytes in one fetch: what a fetch leaves over makes small batches.
FETCH_BYTES = 6 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Fetched:
    """Records in offset order, and the offset that comes after them, gaps included."""

    records: Sequence[Record]
    next_offset: int


@dataclass(frozen=True, slots=True)
class Bounds:
    """What the log holds: from `beginning` up to, not with, `end`; and which making of the topic."""

    beginning: int
    end: int
    incarnation: str | None


class PartitionConsumer:
    """One partition, read from where it is told."""

    def __init__(self, bootstrap: str, topic: str, part: int, *, client_id: str) -> None:
        self._place = TopicPartition(topic, part)
        self._assigned = False
        quieten_aiokafka()
        private.teach_to_make()
        self._consumer = AIOKafkaConsumer(
            bootstrap_servers=bootstrap,
            client_id=client_id,
            group_id=None,
            enable_auto_commit=False,
            auto_offset_reset="none",
            isolation_level="read_committed",
            request_timeout_ms=REQUEST_MS,
            metadata_max_age_ms=30_000,
            fetch_max_wait_ms=150,
            fetch_max_bytes=2 * FETCH_BYTES,
            max_partition_fetch_bytes=FETCH_BYTES,
            value_deserializer=private.Maker(_record_of),
        )

    async def start(self) -> None:
        """Connect. Raises BrokerUnavailable, and has let go of everything when it does."""
        try:
            with _translated():
                await asyncio.wait_for(self._consumer.start(), START_S)
        except BaseException:
            await self.stop()
            raise

    async def stop(self) -> None:
        """Let go of the connections within a bounded time. Never raises."""
        with suppress(KafkaError, OSError, TimeoutError):
            await asyncio.wait_for(self._consumer.stop(), STOP_S)

    async def bounds(self) -> Bounds:
        """Ask the broker what it holds. Raises BrokerUnavailable."""
        # All at once: an answer may have to wait for the fetch that shares the connection.
        with _translated():
            beginnings, ends, incarnation = await asyncio.gather(
                self._consumer.beginning_offsets([self._place]),
                self._consumer.end_offsets([self._place]),
                self.incarnation(),
            )
        return Bounds(beginnings[self._place], ends[self._place], incarnation)

    async def end_offset(self) -> int:
        """Ask the broker for the offset after the last record that readers may see."""
        with _translated():
            ends = await self._consumer.end_offsets([self._place])
            return int(ends[self._place])

    def seek(self, offset: int) -> None:
        """Read on from `offset`. The first call assigns the partition, in the same step."""
        if not self._assigned:
            self._consumer.assign([self._place])
            self._assigned = True
        # No await since the assignment: the fetcher can't look for a position of its own.
        self._consumer.seek(self._place, offset)

    async def fetch(self, *, limit: int, timeout_s: float) -> Fetched:
        """Return what comes next, waiting at most `timeout_s` for the first record.

        Raises LogTruncated when the log does not hold the position, BrokerUnavailable otherwise.
        """
        with _translated():
            found = await self._consumer.getmany(
                self._place, timeout_ms=int(timeout_s * 1000), max_records=limit
            )
            next_offset = await self._consumer.position(self._place)
        return Fetched(found.get(self._place, ()), next_offset)

    async def incarnation(self) -> str | None:
        """Ask the broker which making of the topic this is. Raises BrokerUnavailable."""
        with _translated():
            return await topic_incarnation(self._consumer._client, self._place.topic)  # noqa: SLF001  no public way


async def topic_incarnation(client: AIOKafkaClient, topic: str) -> str | None:
    """Return the id that the topic got when it was made; None from a broker older than topic ids."""
    try:
        answer = await client.send(client.get_random_node(), TopicIdRequest(topic))
    except (IncompatibleBrokerVersion, NotImplementedError):
        return None
    # error_code, name, id, …: a topic that is not there has no id.
    return next((str(found[2]) for found in answer.topics if found[0] == 0), None)


async def partition_counts(
    bootstrap: str, topics: Sequence[str], *, client_id: str
) -> dict[str, int]:
    """Return how many partitions each topic has; a topic that is not there is left out.

    Raises BrokerUnavailable.
    """
    client = AIOKafkaClient(
        bootstrap_servers=bootstrap, client_id=client_id, request_timeout_ms=REQUEST_MS
    )
    try:
        with _translated():
            await asyncio.wait_for(client.bootstrap(), START_S)
            cluster = await asyncio.wait_for(client.fetch_all_metadata(), START_S)
            found = {topic: cluster.partitions_for_topic(topic) for topic in topics}
            return {topic: max(parts) + 1 for topic, parts in found.items() if parts}
    finally:
        with suppress(KafkaError, OSError, TimeoutError):
            await asyncio.wait_for(client.close(), STOP_S)


def _record_of(_place: TopicPartition, raw: Any) -> Record:
    return Record(raw.offset, raw.timestamp, raw.key, raw.value or b"", tuple(raw.headers))


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except OffsetOutOfRangeError as error:
        raise LogTruncated(f"{type(error).__name__}: {error}") from error
    except (KafkaError, OSError, TimeoutError) as error:
        raise BrokerUnavailable(f"{type(error).__name__}: {error}") from error
