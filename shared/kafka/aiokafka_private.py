"""Every private name of aiokafka that we lean on. aiokafka is pinned because of this file.

Why they are needed: the write path does its own retries and must be able to let a client go for
good, and the read path makes its own records at once; aiokafka has public names for none of it.
"""

import asyncio
from collections.abc import Callable
from typing import Any

from aiokafka import AIOKafkaProducer
from aiokafka.conn import CloseReason
from aiokafka.consumer.fetcher import PartitionRecords
from aiokafka.errors import BrokerResponseError, KafkaError, kafka_errors
from aiokafka.producer.message_accumulator import BatchBuilder
from aiokafka.structs import TopicPartition

UNCOMPRESSED = 0


class InvalidRecord(BrokerResponseError):  # type: ignore[misc]  # aiokafka ships no types
    """The broker refuses a record of the batch (as one without a key in a compacted topic)."""

    errno = 87
    message = "INVALID_RECORD"
    description = "A record of the batch failed the broker's validation."


def teach_missing_errors() -> None:
    """Give error 87 a class: aiokafka reports every code it does not know as `UnknownError`."""
    kafka_errors.setdefault(InvalidRecord.errno, InvalidRecord)


def new_batch(max_bytes: int) -> Any:
    """Return an empty batch, as `create_batch` does, without a producer at hand.

    A batch outlives the producer it is first sent with: it may be sent again with the next one.
    """
    return BatchBuilder(max_bytes, UNCOMPRESSED)


def leave_retries_to_us(producer: AIOKafkaProducer, *, ack_timeout_ms: int) -> None:
    """Make every failure final inside aiokafka, and give the broker its own, shorter deadline.

    With retries of its own, the sender spins on a broker that is going down: a whole core, and
    15,000 lines of log a second.
    """
    producer._message_accumulator._batch_ttl = 0  # noqa: SLF001
    producer._sender._request_timeout_ms = ack_timeout_ms  # noqa: SLF001


def sender_task(producer: AIOKafkaProducer) -> "asyncio.Task[None] | None":
    """Return the task that sends; None before `start` came so far."""
    task: asyncio.Task[None] | None = producer._sender.sender_task  # noqa: SLF001
    return task


def cut_connections(producer: AIOKafkaProducer) -> None:
    """Drop every connection at once, with what is buffered in it unsent."""
    for connection in list(producer.client._conns.values()):  # noqa: SLF001
        if connection._writer is not None:  # noqa: SLF001
            connection._writer.transport.abort()  # noqa: SLF001
        connection.close(reason=CloseReason.SHUTDOWN)


def fail_all(producer: AIOKafkaProducer, error: KafkaError) -> None:
    """End every batch that the producer still holds. Call it once the sender has ended."""
    accumulator = producer._message_accumulator  # noqa: SLF001
    accumulator.fail_all(error)
    for batches in accumulator._batches.values():  # noqa: SLF001
        for batch in batches:
            batch._drain_waiter.exception()  # noqa: SLF001  nobody waits for it: mark it as seen


class Maker:
    """A consumer's `value_deserializer` that makes the whole record, of its partition and what the log's bytes hold.

    A consumer with any other one hands out what it always does.
    """

    def __init__(self, make: Callable[[TopicPartition, Any], object]) -> None:
        self.make = make

    def __call__(self, _value: bytes) -> object:
        raise TypeError("aiokafka does not know yet what to do with it: call teach_to_make")


def teach_to_make() -> None:
    """Let consumers with a `Maker` make their records by it.

    aiokafka's own has eleven fields, and costs as much as the event in it costs to decode.
    """
    PartitionRecords.__init__ = _begin_records


_begin_as_usual = PartitionRecords.__init__


def _begin_records(self: Any, *given: Any, **named: Any) -> None:
    _begin_as_usual(self, *given, **named)
    maker = self._value_deserializer
    if type(maker) is Maker:
        self._consumer_record = maker.make
