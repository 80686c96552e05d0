"""A broker that is stopped, killed, frozen or not there yet: bounded answers, and nothing lost."""

import asyncio
import logging
import time

import psutil
import pytest
from prometheus_client import CollectorRegistry

from shared.kafka import aiokafka_private as private
from shared.kafka.durable_log import DurableLog
from shared.kafka.log import Outcome
from shared.kafka.write_limits import MIB, LogLimits
from shared.observability.metrics import LOG_PRODUCERS_REPLACED, Metrics
from tests.integration.kafka import logs
from tests.integration.kafka.brokers import OwnBroker
from tests.integration.kafka.logs import MakeLog, append_until_accepted, numbered, record

pytestmark = pytest.mark.kafka

IMPATIENT = LogLimits(stall_s=1.0)
REFUSED = {Outcome.BUSY, Outcome.RETRY}


def replaced(log: DurableLog) -> float:
    name = LOG_PRODUCERS_REPLACED.name
    return log._metrics.registry.get_sample_value(name) or 0.0


async def test_a_stopped_broker_is_answered_within_the_deadline_and_found_again(
    broker: OwnBroker, make_log: MakeLog
) -> None:
    topic = await broker.topic(1)
    log = await make_log(topic, limits=IMPATIENT)
    await asyncio.to_thread(broker.stop)

    begun = time.monotonic()
    first = await log.append_many(numbered(topic, 5), deadline_s=2.0)
    took_s = time.monotonic() - begun
    at_once = await log.append_many(numbered(topic, 5), deadline_s=30.0)
    ready = log.health().ready
    broker.start()
    await append_until_accepted(log, numbered(topic, 5, start=5))

    assert set(first) <= REFUSED
    assert took_s < 2.5
    assert at_once == [Outcome.BUSY] * 5
    assert not ready
    assert log.health().ready
    (values,) = await broker.read(topic)
    assert list(dict.fromkeys(values)) == [each.value for each in numbered(topic, 10)]


async def test_an_outage_neither_floods_the_log_nor_burns_a_core(
    broker: OwnBroker, make_log: MakeLog, caplog: pytest.LogCaptureFixture
) -> None:
    topic = await broker.topic(12)
    log = await make_log(topic, limits=IMPATIENT)
    keys = [b"user-%d" % number for number in range(100)]
    await asyncio.to_thread(broker.stop)
    caplog.clear()

    with caplog.at_level(logging.WARNING):
        cpu_s, begun = time.process_time(), time.monotonic()
        while time.monotonic() - begun < 4:
            await log.append_many([record(topic, key, key=key) for key in keys], deadline_s=1.0)
            await asyncio.sleep(0.05)
        cpu_s = time.process_time() - cpu_s

    assert len(caplog.records) < 100
    assert cpu_s < 2


async def test_a_frozen_broker_is_answered_within_the_deadline_and_found_again(
    broker: OwnBroker, make_log: MakeLog
) -> None:
    topic = await broker.topic(1)
    log = await make_log(topic)
    broker.freeze()

    begun = time.monotonic()
    first = asyncio.create_task(log.append_many(numbered(topic, 5), deadline_s=8.0))
    await logs.until(lambda: not log.health().ready)
    stalled_after_s = time.monotonic() - begun
    second = await log.append_many(numbered(topic, 5, start=5))
    outcomes = await first
    took_s = time.monotonic() - begun
    broker.thaw()
    await append_until_accepted(log, numbered(topic, 10))

    assert 3.9 < stalled_after_s < 5.0
    assert second == [Outcome.BUSY] * 5
    assert outcomes == [Outcome.RETRY] * 5
    assert took_s < 9
    (values,) = await broker.read(topic)
    assert list(dict.fromkeys(values)) == [each.value for each in numbered(topic, 10)]


async def test_a_log_that_was_there_before_its_broker_finds_it(
    broker: OwnBroker,
) -> None:
    topic = await broker.topic(1)
    await asyncio.to_thread(broker.stop)
    log = DurableLog(
        bootstrap=broker.bootstrap,
        metrics=Metrics(CollectorRegistry()),
        client_id="test",
        topics=[topic],
    )

    await log.start()
    refused = await log.append_many(numbered(topic, 3))
    broker.start()
    await logs.until_ready(log)
    accepted = await log.append_many(numbered(topic, 3))
    await log.close()

    assert refused == [Outcome.BUSY] * 3
    assert accepted == [Outcome.ACCEPTED] * 3


async def test_memory_is_bounded_however_much_is_sent_to_a_frozen_broker(
    broker: OwnBroker, make_log: MakeLog
) -> None:
    topic = await broker.topic(12)
    log = await make_log(topic, limits=LogLimits(budget_bytes=8 * MIB, stall_s=600))
    broker.freeze()
    keys = [b"user-%d" % number for number in range(200)]
    before = psutil.Process().memory_info().rss

    tried = 0
    waiting: list[asyncio.Task[list[Outcome]]] = []
    for _ in range(200):
        records = [record(topic, bytes(10_000), key=key) for key in keys]
        waiting.append(asyncio.create_task(log.append_many(records, deadline_s=5.0)))
        await asyncio.sleep(0)
        tried += sum(len(each.value) for each in records)
        assert log.health().in_flight_bytes <= 8 * MIB
    grown = psutil.Process().memory_info().rss - before
    answers = [outcome for each in await asyncio.gather(*waiting) for outcome in each]
    broker.thaw()
    await logs.until(lambda: log.health().in_flight_bytes == 0)

    assert tried == 400_000_000
    assert grown < 64 * MIB
    assert set(answers) <= REFUSED


async def test_one_stalled_partition_holds_no_more_than_its_share(
    broker: OwnBroker, make_log: MakeLog
) -> None:
    topic = await broker.topic(12)
    log = await make_log(topic, limits=LogLimits(budget_bytes=8 * MIB, stall_s=600))
    broker.freeze()

    async with asyncio.TaskGroup() as sending:
        hot = [record(topic, bytes(10_000)) for _ in range(2_000)]
        sending.create_task(log.append_many(hot, deadline_s=2.0))
        await asyncio.sleep(0)
        held = log.health().in_flight_bytes
        broker.thaw()

    assert 1.9 * MIB < held <= 2 * MIB


async def test_a_smaller_record_does_not_overtake_one_that_found_no_room(
    broker: OwnBroker, make_log: MakeLog
) -> None:
    topic = await broker.topic(1)
    log = await make_log(topic, limits=LogLimits(budget_bytes=4 * 10_000))

    outcomes = await log.append_many(
        [record(topic, bytes(8_000)), record(topic, bytes(8_000)), record(topic, b"small")]
    )

    assert outcomes == [Outcome.ACCEPTED, Outcome.BUSY, Outcome.BUSY]


async def test_a_producer_whose_sender_ended_is_replaced(
    broker: OwnBroker, make_log: MakeLog
) -> None:
    topic = await broker.topic(3)
    log = await make_log(topic)
    producer = log._producers._current
    assert producer is not None
    sender = private.sender_task(producer)
    assert sender is not None

    sender.cancel()
    await logs.until(lambda: log._producers._current not in (None, producer))

    assert await log.append_many(numbered(topic, 5)) == [Outcome.ACCEPTED] * 5
    assert replaced(log) == 1


async def test_a_producer_whose_send_hangs_is_replaced_and_the_order_is_kept(
    broker: OwnBroker, make_log: MakeLog
) -> None:
    topic = await broker.topic(1)
    log = await make_log(topic, limits=LogLimits(hung_s=1.0, stall_s=600))
    broker.freeze()

    appending = asyncio.create_task(log.append_many(numbered(topic, 5), deadline_s=30))
    await logs.until(lambda: replaced(log) >= 1)
    broker.thaw()

    assert await appending == [Outcome.ACCEPTED] * 5
    (values,) = await broker.read(topic)
    assert list(dict.fromkeys(values)) == [each.value for each in numbered(topic, 5)]


async def test_failures_alone_replace_no_producer(broker: OwnBroker, make_log: MakeLog) -> None:
    topic = await broker.topic(3)
    log = await make_log(topic)
    await asyncio.to_thread(broker.stop)
    await log.append_many(numbered(topic, 5), deadline_s=2)

    broker.start()
    await append_until_accepted(log, numbered(topic, 5))

    assert replaced(log) == 0


async def test_closing_with_a_frozen_broker_is_bounded_and_writes_nothing_that_was_queued(
    broker: OwnBroker, make_log: MakeLog
) -> None:
    topic = await broker.topic(1)
    log = await make_log(topic)
    broker.freeze()
    in_flight = asyncio.create_task(log.append_many([record(topic, b"in flight")], deadline_s=60))
    await logs.until(lambda: log.health().oldest_unsettled_s > 0)
    queued = asyncio.create_task(log.append_many([record(topic, b"queued")], deadline_s=60))
    await asyncio.sleep(0)

    begun = time.monotonic()
    await log.close(drain_s=0.5)
    took_s = time.monotonic() - begun
    broker.thaw()

    assert took_s < 6
    assert (await in_flight, await queued) == ([Outcome.RETRY], [Outcome.RETRY])
    other = await make_log(topic)
    await other.append_many([record(topic, b"later")])
    (values,) = await broker.read(topic)
    assert [value for value in values if value != b"in flight"] == [b"later"]
