"""What leaves with a transaction: all of it, in order, and only once it is acknowledged gone."""

from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime

import asyncpg
import pytest

from shared.database import lease, outbox
from shared.database.connection import Connection
from shared.database.lease import Partition
from shared.database.outbox import OutboxMessage
from shared.kafka.log import LogRecord, Outcome
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
        await outbox.insert(connection, world.group, 0, messages=told("v"))
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


async def test_each_message_of_a_row_that_is_refused_for_good_is_a_letter_of_its_own(
    lanes_world: World,
) -> None:
    world = lanes_world
    log = PickyLog(unfit=frozenset({b"unfit 1", b"unfit 2"}), away={b"a", b"unfit 2"})
    await log.start()
    await world.worker("one", work=TinyWork(outbox_topic="out"), log=log)
    await leave(
        world, [message(each, key=each.encode()) for each in ("a", "unfit 1", "unfit 2", "b")]
    )
    await until(lambda: _waiting(world, 2))

    log.away.clear()

    await until(lambda: _empty(world))
    letters = await world.owner.fetch("SELECT dead_letter_id, value FROM dead_letters ORDER BY 1")
    row_id = await world.owner.fetchval(
        "SELECT min(split_part(dead_letter_id, '/', 3)) FROM dead_letters"
    )
    assert [tuple(row) for row in letters] == [
        (f"{world.group}/outbox/{row_id}/1", b"unfit 1"),
        (f"{world.group}/outbox/{row_id}/2", b"unfit 2"),
    ]
    assert sorted(each.value for each in log.records("out")) == [b"a", b"b"]
    assert world.count("one", m.DEAD_LETTERS, world.group, "invalid") == 2


async def test_a_row_that_holds_no_messages_becomes_a_dead_letter_and_stops_nobody(
    lanes_world: World,
) -> None:
    world, log = lanes_world, FakeLog()
    await log.start()
    await world.owner.execute(
        "INSERT INTO outbox (grp, part, topic, created_at, number, packed)"
        r" VALUES ($1, 0, 'out', now(), 1, '\xc1')",
        world.group,
    )
    await world.worker("one", work=TinyWork(outbox_topic="out"), log=log)

    await world.produce(0, "a")

    await until(lambda: _sent(log, 1))
    await until(lambda: _empty(world))
    letters = await world.owner.fetch("SELECT code, field, value, topic FROM dead_letters")
    assert [tuple(row) for row in letters] == [("undecodable", "packed", b"\xc1", "out")]
    assert world.count("one", m.DEAD_LETTERS, world.group, "undecodable") == 1


async def test_a_transaction_of_many_messages_leaves_in_few_rows_and_in_order(
    lanes_world: World,
) -> None:
    world, log = lanes_world, FakeLog(refusing=True)
    await log.start()
    await world.worker("one", work=TinyWork(outbox_topic="out"), log=log)
    texts = [str(number) for number in range(2 * outbox.ROW_MESSAGES + 1)]
    await leave(world, told(*texts))
    rows = await world.owner.fetchval("SELECT count(*) FROM outbox")

    log.refusing = False

    await until(lambda: _empty(world))
    assert rows == 3
    assert [each.value.decode() for each in log.records("out")] == texts
    assert {each.timestamp_ms for each in log.records("out")} == {int(NOON.timestamp() * 1000)}
    assert world.count("one", m.OUTBOX_SENT, "out") == len(texts)


async def test_what_one_message_waits_for_does_not_have_others_sent_again_and_again(
    lanes_world: World,
) -> None:
    world, log = lanes_world, PickyLog(away={b"held"})
    await log.start()
    await world.worker("one", work=TinyWork(outbox_topic="out"), log=log)
    others = [message(str(number), key=b"other") for number in range(9)]
    await leave(
        world,
        [*others[:5], message("held", key=b"key"), message("behind", key=b"key"), *others[5:]],
    )

    await until(lambda: _asked(log, b"held", 3))
    waiting = await world.owner.fetch("SELECT place, value FROM outbox_messages ORDER BY place")
    log.away.clear()
    await until(lambda: _empty(world))

    assert [tuple(row) for row in waiting] == [(5, b"held"), (6, b"behind")]
    assert log.asked[b"0"] == log.asked[b"8"] == 1
    of_the_key = [each.value for each in log.records("out") if each.key == b"key"]
    assert of_the_key[-2:] == [b"held", b"behind"]
    assert sorted(each.value.decode() for each in log.records("out") if each.key == b"other") == [
        str(number) for number in range(9)
    ]


@dataclass(slots=True)
class PickyLog(FakeLog):
    """Has no room for the values that are `away`, and counts how often it is asked for each."""

    away: set[bytes] = field(default_factory=set)
    asked: Counter[bytes] = field(default_factory=Counter)

    async def append_many(
        self, records: Sequence[LogRecord], *, deadline_s: float = 8.0
    ) -> list[Outcome]:
        self.asked.update(each.value for each in records)
        away = {each.value for each in records} & self.away
        fit = [each for each in records if each.value not in away]
        outcomes = iter(await FakeLog.append_many(self, fit, deadline_s=deadline_s))
        return [Outcome.BUSY if each.value in away else next(outcomes) for each in records]


def message(text: str, *, key: bytes = b"k") -> OutboxMessage:
    return OutboxMessage("out", key, text.encode(), NOON)


def told(*texts: str) -> list[OutboxMessage]:
    return [message(text) for text in texts]


async def leave(world: World, messages: Sequence[OutboxMessage]) -> None:
    """Do what a transaction of partition 0 does with its messages."""
    async with segmenter(world) as connection:
        await outbox.insert(connection, world.group, 0, messages=messages)


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
    return bool(await world.owner.fetchval("SELECT count(*) FROM outbox_messages") == count)


async def _empty(world: World) -> bool:
    return bool(await world.owner.fetchval("SELECT count(*) FROM outbox") == 0)


async def _asked(log: PickyLog, value: bytes, times: int) -> bool:
    return log.asked[value] >= times


async def _shared(world: World) -> bool:
    return await world.shares() == {"one": 3, "two": 3}
