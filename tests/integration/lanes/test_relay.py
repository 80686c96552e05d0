"""What leaves with a transaction: all of it, in order, and only once it is acknowledged gone."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import asyncpg
import pytest

from shared.database import lease, outbox
from shared.database.connection import Connection
from shared.database.lease import Partition
from shared.kafka.log import LogRecord
from shared.lanes.limits import LaneLimits
from shared.observability import metrics as m
from shared.testing.broker import FakeLog
from tests.integration.lanes.kit import TinyWork, World, until, values

pytestmark = [pytest.mark.kafka, pytest.mark.postgres]

NOON = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


async def test_messages_reach_the_log_in_order_and_leave_the_outbox(lanes_world: World) -> None:
    world, log = lanes_world, FakeLog()
    await log.start()
    await world.worker("one", work=TinyWork(outbox_topic="out"), log=log)

    await world.produce(0, *values("a", 50))

    await until(lambda: _sent(log, 50))
    assert [each.value.decode() for each in log.records("out")] == values("a", 50)
    await until(lambda: _empty(world))
    assert world.count("one", m.OUTBOX_SENT, "out") == 50


async def test_what_kafka_could_not_take_is_sent_when_it_can(lanes_world: World) -> None:
    world, log = lanes_world, FakeLog(refusing=True)
    await log.start()
    await world.worker("one", work=TinyWork(outbox_topic="out"), log=log)
    await world.produce(0, *values("a", 5))
    await until(lambda: _waiting(world, 5))

    log.refusing = False

    await until(lambda: _empty(world))
    assert [each.value.decode() for each in log.records("out")] == values("a", 5)


async def test_another_worker_sends_what_a_killed_one_left(lanes_world: World) -> None:
    world, deaf, log = lanes_world, FakeLog(refusing=True), FakeLog()
    await deaf.start()
    await log.start()
    doomed = await world.worker("one", work=TinyWork(outbox_topic="out"), log=deaf)
    await world.produce(0, *values("a", 5))
    await until(lambda: _waiting(world, 5))

    await world.kill(doomed)
    await world.worker("two", work=TinyWork(outbox_topic="out"), log=log)

    await until(lambda: _empty(world))
    assert [each.value.decode() for each in log.records("out")] == values("a", 5)


async def test_only_the_owner_of_a_partition_sends_its_messages(lanes_world: World) -> None:
    world, logs = lanes_world, {"one": FakeLog(), "two": FakeLog()}
    for name, log in logs.items():
        await log.start()
        await world.worker(name, work=TinyWork(outbox_topic="out"), log=log)
    await until(lambda: _shared(world))

    for part in range(6):
        await world.produce(part, str(part))
    await until(lambda: _sent_by(logs, 6))

    owners = await world.owners()
    for name, log in logs.items():
        mine = sorted(str(part) for part, owner in owners.items() if owner == name)
        assert sorted(each.value.decode() for each in log.records("out")) == mine


async def test_what_a_partition_committed_before_it_was_frozen_is_sent(lanes_world: World) -> None:
    world, log = lanes_world, FakeLog(refusing=True)
    await log.start()
    limits = LaneLimits(refused_in_a_row=3)
    await world.worker("one", work=TinyWork(outbox_topic="out"), log=log, limits=limits)
    await world.produce(0, *values("a", 5))
    await until(lambda: _waiting(world, 5))
    await world.produce(0, *["poison"] * 3)
    await until(lambda: _frozen(world))

    log.refusing = False

    await until(lambda: _empty(world))
    assert [each.value.decode() for each in log.records("out")] == values("a", 5)


async def test_a_frozen_partition_has_one_relay_and_another_when_that_one_dies(
    lanes_world: World,
) -> None:
    world = lanes_world
    async with segmenter(world) as connection:
        await lease.add_partitions(connection, [Partition(world.group, world.topic, 0)])
        await freeze(world)
        await outbox.insert(connection, world.group, 0, messages=[("out", b"k", b"v", NOON)])
        for name, lease_s in (("dead", -1.0), ("leaving", 60.0), ("one", 60.0), ("two", 60.0)):
            await lease.beat(connection, world.group, name, lease_s=lease_s)
        await lease.leave(connection, world.group, "leaving", lease_s=60.0)

        before = await relays(world, connection)
        await lease.beat(connection, world.group, "one", lease_s=-1.0)
        after = await relays(world, connection)

    assert (before, after) == (["one"], ["two"])


async def test_a_message_that_the_log_refuses_for_good_becomes_a_dead_letter(
    lanes_world: World,
) -> None:
    world, log = lanes_world, FakeLog(unfit=frozenset({b"unfit"}))
    await log.start()
    await world.worker("one", work=TinyWork(outbox_topic="out"), log=log)

    await world.produce(0, "a", "unfit", "b")

    await until(lambda: _sent(log, 2))
    await until(lambda: _empty(world))
    letters = await world.owner.fetch("SELECT code, value, topic FROM dead_letters")
    assert [tuple(row) for row in letters] == [("invalid", b"unfit", "out")]


@asynccontextmanager
async def segmenter(world: World) -> AsyncIterator[Connection]:
    connection = await asyncpg.connect(world.database.segmenter)
    yield connection
    await connection.close()


async def freeze(world: World) -> None:
    await world.owner.execute(
        "UPDATE consumer_partition SET frozen_reason = 'why', owner = NULL WHERE grp = $1",
        world.group,
    )


async def relays(world: World, connection: Connection) -> list[str]:
    """Return the workers to whom the group's messages are given."""
    found = []
    for name in ("dead", "leaving", "one", "two"):
        rows = await outbox.waiting(
            connection, world.group, worker=name, topics=[world.topic], limit=10
        )
        found += [name] * len(rows)
    return found


async def _frozen(world: World) -> bool:
    return bool(
        await world.owner.fetchval(
            "SELECT count(*) FROM consumer_partition WHERE grp = $1 AND frozen_reason IS NOT NULL",
            world.group,
        )
    )


async def _sent(log: FakeLog, count: int) -> bool:
    return len(log.records("out")) >= count


async def _sent_by(logs: dict[str, FakeLog], count: int) -> bool:
    sent: list[LogRecord] = [each for log in logs.values() for each in log.records("out")]
    return len(sent) >= count


async def _waiting(world: World, count: int) -> bool:
    return bool(await world.owner.fetchval("SELECT count(*) FROM outbox") == count)


async def _empty(world: World) -> bool:
    return await _waiting(world, 0)


async def _shared(world: World) -> bool:
    return await world.shares() == {"one": 3, "two": 3}
