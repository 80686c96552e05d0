"""Topics that are missing, made anew, or given more partitions while the log writes."""

import pytest
from prometheus_client import CollectorRegistry

from shared.kafka.durable_log import DurableLog
from shared.kafka.log import Outcome
from shared.kafka.partitioner import partition_of
from shared.kafka.write_limits import LogLimits
from shared.observability.metrics import Metrics
from tests.integration.kafka import logs
from tests.integration.kafka.brokers import OwnBroker
from tests.integration.kafka.logs import MakeLog, append_until_accepted, numbered, record

pytestmark = pytest.mark.kafka

PROMPT = LogLimits(metadata_max_age_ms=300)


async def test_a_missing_topic_is_named_by_health_until_it_is_made(
    broker: OwnBroker, make_log: MakeLog
) -> None:
    log = await make_log(limits=PROMPT)
    missing = f"{await broker.topic()}-missing"
    assert await log.append_many([record(missing, b"x")]) == [Outcome.BUSY]
    reason = log.health().reason

    await broker.make(missing)
    await append_until_accepted(log, [record(missing, b"x")])

    assert reason == f"the broker does not know topic {missing}"
    assert log.health().ready


async def test_a_topic_made_after_the_log_started_is_found_before_anyone_writes(
    broker: OwnBroker,
) -> None:
    missing = f"{await broker.topic()}-later"
    log = DurableLog(
        bootstrap=broker.bootstrap,
        metrics=Metrics(CollectorRegistry()),
        client_id="test",
        topics=[missing],
    )
    await log.start()
    await logs.until(lambda: "does not know topic" in log.health().reason)

    await broker.make(missing)
    await logs.until_ready(log, within_s=10)

    assert await log.append_many([record(missing, b"x")]) == [Outcome.ACCEPTED]
    await log.close()


async def test_partitions_that_are_added_are_used(broker: OwnBroker, make_log: MakeLog) -> None:
    topic = await broker.topic(1)
    log = await make_log(topic, limits=PROMPT)
    keys = [b"user-%d" % number for number in range(50)]
    await log.append_many([record(topic, key, key=key) for key in keys])

    await broker.grow(topic, 4)
    await logs.until(lambda: len(log._writers.of(topic)) == 4)
    outcomes = await log.append_many([record(topic, key, key=key) for key in keys])

    partitions = await broker.read(topic)
    assert outcomes == [Outcome.ACCEPTED] * 50
    for number in range(1, 4):
        assert partitions[number] == [key for key in keys if partition_of(key, 4) == number]


async def test_a_topic_that_is_made_anew_is_written_again(
    broker: OwnBroker, make_log: MakeLog
) -> None:
    topic = await broker.topic(3)
    log = await make_log(topic, limits=PROMPT)
    await log.append_many(numbered(topic, 10))

    await broker.delete(topic)
    await logs.until(lambda: not log.health().ready)
    await broker.make(topic, 1)
    await logs.until_ready(log)
    await append_until_accepted(log, numbered(topic, 10))

    assert await broker.read(topic) == [[each.value for each in numbered(topic, 10)]]
