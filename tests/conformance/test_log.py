"""What a log promises, asked of the fake and of the one on a real Kafka."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import Protocol

import pytest
import pytest_asyncio
from prometheus_client import CollectorRegistry

from shared.kafka.durable_log import DurableLog
from shared.kafka.log import Log, LogRecord, Outcome
from shared.kafka.partitioner import partition_of
from shared.kafka.write_limits import LogLimits
from shared.observability.metrics import Metrics
from shared.testing.broker import FakeLog
from tests.integration.kafka import logs
from tests.integration.kafka.brokers import OwnBroker, own_broker
from tests.integration.kafka.logs import numbered, record

PARTITIONS = 3
MAX_BYTES = 50_000
STALL_S = 0.5
NOWHERE = "127.0.0.1:1"


class World(Protocol):
    """A log, and what stands behind it."""

    @property
    def log(self) -> Log: ...
    @property
    def topic(self) -> str: ...
    @property
    def unfit(self) -> LogRecord:
        """A record that the broker finds invalid."""
        ...

    def without_broker(self) -> Log: ...
    def stall(self) -> None: ...
    def resume(self) -> None: ...
    async def read(self) -> list[list[bytes]]: ...


@dataclass
class FakeWorld:
    log: FakeLog
    topic: str

    @property
    def unfit(self) -> LogRecord:
        return record(self.topic, b"unfit")

    def without_broker(self) -> Log:
        return FakeLog(refusing=True)

    def stall(self) -> None:
        self.log.stall()

    def resume(self) -> None:
        self.log.resume()

    async def read(self) -> list[list[bytes]]:
        return [
            [each.value for each in self.log.partition(self.topic, number)]
            for number in range(PARTITIONS)
        ]


@dataclass
class RealWorld:
    log: DurableLog
    topic: str
    broker: OwnBroker

    @property
    def unfit(self) -> LogRecord:
        # The topic is compacted, so a record without a key has no meaning there.
        return record(self.topic, b"unfit", key=None)

    def without_broker(self) -> Log:
        return durable(NOWHERE)

    def stall(self) -> None:
        self.broker.freeze()

    def resume(self) -> None:
        self.broker.thaw()

    async def read(self) -> list[list[bytes]]:
        return await self.broker.read(self.topic)


def durable(bootstrap: str, *topics: str) -> DurableLog:
    return DurableLog(
        bootstrap=bootstrap,
        metrics=Metrics(CollectorRegistry()),
        client_id="test",
        limits=LogLimits(max_record_bytes=MAX_BYTES, stall_s=STALL_S, topic_wait_s=0.5),
        topics=topics,
    )


@pytest.fixture(scope="module")
def broker() -> Iterator[OwnBroker]:
    with own_broker() as started:
        yield started


@pytest_asyncio.fixture(params=["fake", pytest.param("real", marks=pytest.mark.kafka)])
async def world(request: pytest.FixtureRequest) -> AsyncIterator[World]:
    made = await (fake_world() if request.param == "fake" else real_world(request))
    await made.log.start()
    await logs.until_ready(made.log)
    yield made
    made.resume()
    await made.log.close(drain_s=5)


async def fake_world() -> World:
    topic = f"test-{uuid.uuid4().hex[:12]}"
    log = FakeLog(
        partitions=PARTITIONS,
        topics=frozenset({topic}),
        max_record_bytes=MAX_BYTES,
        unfit=frozenset({b"unfit"}),
        stall_s=STALL_S,
    )
    return FakeWorld(log, topic)


async def real_world(request: pytest.FixtureRequest) -> World:
    broker: OwnBroker = request.getfixturevalue("broker")
    topic = await broker.topic(PARTITIONS, cleanup_policy="compact")
    return RealWorld(durable(broker.bootstrap, topic), topic, broker)


async def test_accepted_records_are_there_in_order(world: World) -> None:
    records = numbered(world.topic, 200)

    outcomes = await world.log.append_many(records)

    assert outcomes == [Outcome.ACCEPTED] * 200
    assert max(await world.read()) == [each.value for each in records]


async def test_records_of_concurrent_calls_keep_the_order_within_each_call(world: World) -> None:
    keys = [b"user-%d" % number for number in range(20)]

    await asyncio.gather(
        *(world.log.append_many(numbered(world.topic, 30, key=key)) for key in keys)
    )

    values = [value for partition in await world.read() for value in partition]
    for key in keys:
        own = [value for value in values if value.startswith(key + b"-")]
        assert own == [each.value for each in numbered(world.topic, 30, key=key)]


async def test_a_key_is_in_the_partition_that_every_client_puts_it_in(world: World) -> None:
    keys = [b"user-%d" % number for number in range(20)]

    await world.log.append_many([record(world.topic, key, key=key) for key in keys])

    partitions = await world.read()
    assert [key in partitions[partition_of(key, PARTITIONS)] for key in keys] == [True] * 20


async def test_nothing_to_append_is_nothing_to_answer(world: World) -> None:
    assert await world.log.append_many([]) == []


async def test_an_oversize_record_is_refused_and_its_neighbours_are_accepted(world: World) -> None:
    outcomes = await world.log.append_many(
        [
            record(world.topic, b"before"),
            record(world.topic, bytes(MAX_BYTES + 1)),
            record(world.topic, b"after"),
        ]
    )

    assert outcomes == [Outcome.ACCEPTED, Outcome.TOO_LARGE, Outcome.ACCEPTED]
    assert [b"before", b"after"] in await world.read()


async def test_an_invalid_record_is_refused_and_its_neighbours_are_accepted(world: World) -> None:
    # Enough neighbours that one of them is in the same partition whichever that is.
    neighbours = [record(world.topic, b"n-%d" % n, key=b"user-%d" % n) for n in range(20)]

    outcomes = await world.log.append_many([*neighbours[:10], world.unfit, *neighbours[10:]])

    assert outcomes == [*[Outcome.ACCEPTED] * 10, Outcome.INVALID, *[Outcome.ACCEPTED] * 10]
    written = {value for partition in await world.read() for value in partition}
    assert written == {each.value for each in neighbours}


async def test_a_topic_that_does_not_exist_is_busy_and_the_others_go_on(world: World) -> None:
    outcomes = await world.log.append_many(
        [record("no-such-topic", b"lost"), record(world.topic, b"kept")]
    )

    assert outcomes == [Outcome.BUSY, Outcome.ACCEPTED]


async def test_an_unanswered_record_is_told_retry_at_the_deadline_and_written_later(
    world: World,
) -> None:
    world.stall()

    begun = asyncio.get_running_loop().time()
    outcomes = await world.log.append_many([record(world.topic, b"first")], deadline_s=0.2)
    took_s = asyncio.get_running_loop().time() - begun
    world.resume()
    await logs.append_until_accepted(world.log, [record(world.topic, b"second")])

    assert outcomes == [Outcome.RETRY]
    assert 0.15 < took_s < 2
    written = [value for partition in await world.read() for value in partition]
    assert list(dict.fromkeys(written)) == [b"first", b"second"]


async def test_a_stalled_log_refuses_at_once_says_why_and_recovers(world: World) -> None:
    world.stall()
    waiting = asyncio.create_task(world.log.append_many([record(world.topic, b"first")]))
    await logs.until(lambda: world.log.health().oldest_unsettled_s > STALL_S)

    outcomes = await world.log.append_many([record(world.topic, b"second")], deadline_s=30)
    health = world.log.health()
    world.resume()

    assert outcomes == [Outcome.BUSY]
    assert not health.ready
    assert "acknowledged" in health.reason
    assert health.in_flight_bytes > 0
    await logs.until_ready(world.log)
    assert (await waiting)[0] in (Outcome.ACCEPTED, Outcome.RETRY)
    assert world.log.health().in_flight_bytes == 0


async def test_without_a_broker_it_comes_up_and_refuses(world: World) -> None:
    log = world.without_broker()
    await log.start()

    outcomes = await log.append_many([record(world.topic, b"x")])
    health = log.health()
    await log.close(drain_s=1)

    assert outcomes == [Outcome.BUSY]
    assert (health.ready, health.in_flight_bytes) == (False, 0)
    assert "no connection to Kafka" in health.reason


async def test_closing_settles_what_is_in_flight(world: World) -> None:
    appending = asyncio.create_task(world.log.append_many(numbered(world.topic, 500)))
    await asyncio.sleep(0)

    await world.log.close()

    assert await appending == [Outcome.ACCEPTED] * 500


async def test_a_closed_log_refuses(world: World) -> None:
    await world.log.close()

    assert await world.log.append_many([record(world.topic, b"x")]) == [Outcome.BUSY]
    assert world.log.health().reason == "closing"
