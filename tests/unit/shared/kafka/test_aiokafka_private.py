"""The private names of aiokafka that the write path uses still mean what they meant."""

import asyncio
from collections.abc import AsyncIterator
from importlib.metadata import version

import pytest
import pytest_asyncio
from aiokafka import AIOKafkaProducer
from aiokafka.consumer.fetcher import PartitionRecords
from aiokafka.errors import (
    NotLeaderForPartitionError,
    ProducerClosed,
    RequestTimedOutError,
    for_code,
)
from aiokafka.producer.message_accumulator import MessageBatch
from aiokafka.producer.sender import SendProduceReqHandler
from aiokafka.record.memory_records import MemoryRecords
from aiokafka.structs import ConsumerRecord, TopicPartition

from shared.kafka import aiokafka_private as private


@pytest_asyncio.fixture
async def producer() -> AsyncIterator[AIOKafkaProducer]:
    """A producer that was never connected."""
    made = AIOKafkaProducer(bootstrap_servers="127.0.0.1:1", acks="all", request_timeout_ms=4_000)
    yield made
    await made.stop()


def batch_of(producer: AIOKafkaProducer, *, records: int = 1) -> MessageBatch:
    builder = private.new_batch(10_000)
    for _ in range(records):
        builder.append(timestamp=1, key=b"k", value=b"v", headers=[])
    return producer._message_accumulator._append_batch(builder, TopicPartition("t", 0))


def test_the_version_is_the_one_these_names_were_read_in() -> None:
    assert version("aiokafka") == "0.14.0"


async def test_no_failure_is_retried_inside_aiokafka(producer: AIOKafkaProducer) -> None:
    private.leave_retries_to_us(producer, ack_timeout_ms=2_500)

    batch = batch_of(producer)
    handler = SendProduceReqHandler(producer._sender, {batch.tp: batch})

    assert not handler._can_retry(RequestTimedOutError(), batch)
    private.fail_all(producer, ProducerClosed())


async def test_a_batch_without_a_leader_fails_at_once(producer: AIOKafkaProducer) -> None:
    private.leave_retries_to_us(producer, ack_timeout_ms=2_500)
    batch = batch_of(producer)

    producer._message_accumulator.drain_by_nodes(ignore_nodes=set())

    with pytest.raises(NotLeaderForPartitionError):
        batch.future.result()


async def test_the_broker_gets_a_shorter_deadline_than_the_request(
    producer: AIOKafkaProducer,
) -> None:
    private.leave_retries_to_us(producer, ack_timeout_ms=2_500)
    batch = batch_of(producer)

    request = SendProduceReqHandler(producer._sender, {batch.tp: batch}).create_request()

    assert request._timeout == 2_500
    assert request.required_acks == -1
    private.fail_all(producer, ProducerClosed())


async def test_a_producer_that_was_not_started_has_no_sender_and_no_connections(
    producer: AIOKafkaProducer,
) -> None:
    assert private.sender_task(producer) is None
    private.cut_connections(producer)


async def test_failing_everything_ends_every_batch(producer: AIOKafkaProducer) -> None:
    batch = batch_of(producer)

    private.fail_all(producer, ProducerClosed())

    with pytest.raises(ProducerClosed):
        await asyncio.wait_for(batch.future, 1)


async def test_a_built_batch_can_be_sent_again(producer: AIOKafkaProducer) -> None:
    builder = private.new_batch(10_000)
    builder.append(timestamp=1, key=b"k", value=b"v", headers=[])
    accumulator = producer._message_accumulator
    partition = TopicPartition("t", 0)

    once = accumulator._append_batch(builder, partition)
    again = accumulator._append_batch(builder, partition)

    assert once.get_data_buffer() == again.get_data_buffer()
    assert again.record_count == 1
    private.fail_all(producer, ProducerClosed())


def test_an_invalid_record_is_told_from_an_unknown_error() -> None:
    private.teach_missing_errors()
    private.teach_missing_errors()

    assert for_code(87) is private.InvalidRecord
    assert not for_code(87).retriable


def fetched(deserializer: object) -> list[object]:
    """What a consumer with this deserializer hands out of a batch of two records."""
    builder = private.new_batch(10_000)
    builder.append(timestamp=17, key=b"k", value=b"v", headers=[("h", b"1")])
    builder.append(timestamp=18, key=None, value=None, headers=[])
    records = PartitionRecords(
        TopicPartition("t", 0),
        MemoryRecords(bytes(builder._build())),
        [],
        0,
        None,
        deserializer,
        True,
        0,
    )
    return list(records)


def test_a_consumer_with_a_maker_hands_out_what_that_makes_of_each_record() -> None:
    private.teach_to_make()
    maker = private.Maker(
        lambda place, raw: (place.topic, raw.offset, raw.timestamp, raw.key, raw.value, raw.headers)
    )

    assert fetched(maker) == [("t", 0, 17, b"k", b"v", [("h", b"1")]), ("t", 1, 18, None, None, [])]


@pytest.mark.parametrize("deserializer", [None, lambda value: value])
def test_a_consumer_without_one_hands_out_what_it_always_does(deserializer: object) -> None:
    private.teach_to_make()

    first, second = fetched(deserializer)

    assert isinstance(first, ConsumerRecord)
    assert (first.offset, first.timestamp, first.key, first.value) == (0, 17, b"k", b"v")
    assert isinstance(second, ConsumerRecord)
    assert (second.topic, second.offset, second.value) == ("t", 1, None)
