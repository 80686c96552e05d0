"""A record that the broker refuses costs its neighbours nothing."""

import pytest

from shared.kafka.log import Outcome
from shared.kafka.write_limits import LogLimits
from tests.integration.kafka.brokers import OwnBroker
from tests.integration.kafka.logs import MakeLog, numbered, record

pytestmark = pytest.mark.kafka


async def test_the_one_record_that_the_broker_finds_too_large_is_found_among_its_neighbours(
    broker: OwnBroker, make_log: MakeLog
) -> None:
    topic = await broker.topic(1, max_message_bytes="20000")
    log = await make_log(topic)
    before, after = numbered(topic, 40), numbered(topic, 40, start=40)

    outcomes = await log.append_many([*before, record(topic, bytes(30_000)), *after])

    accepted = [Outcome.ACCEPTED] * 40
    assert outcomes == [*accepted, Outcome.TOO_LARGE, *accepted]
    assert await broker.read(topic) == [[each.value for each in (*before, *after)]]


async def test_a_partition_is_not_poisoned_by_what_it_refused(
    broker: OwnBroker, make_log: MakeLog
) -> None:
    topic = await broker.topic(1, max_message_bytes="20000")
    log = await make_log(topic)
    await log.append_many([record(topic, bytes(30_000))])

    outcomes = await log.append_many(numbered(topic, 100))

    assert outcomes == [Outcome.ACCEPTED] * 100
    assert log.health().ready
    assert log.health().in_flight_bytes == 0


async def test_a_batch_that_is_too_large_only_as_a_whole_is_accepted_in_parts(
    broker: OwnBroker, make_log: MakeLog
) -> None:
    topic = await broker.topic(1, max_message_bytes="20000")
    log = await make_log(topic)
    records = [record(topic, b"%03d" % number + bytes(5_000)) for number in range(50)]

    outcomes = await log.append_many(records)

    assert outcomes == [Outcome.ACCEPTED] * 50
    assert await broker.read(topic) == [[each.value for each in records]]


async def test_a_record_larger_than_a_batch_travels_alone(
    broker: OwnBroker, make_log: MakeLog
) -> None:
    topic = await broker.topic(1, max_message_bytes="4194304")
    log = await make_log(topic, limits=LogLimits(batch_bytes=10_000))
    records = [record(topic, b"small"), record(topic, bytes(1_500_000)), record(topic, b"end")]

    assert await log.append_many(records) == [Outcome.ACCEPTED] * 3
    assert await broker.read(topic) == [[each.value for each in records]]
