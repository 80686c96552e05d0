"""What the log no longer holds, never held, or skips."""

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic, RecordsToDelete

from shared.lanes.limits import LaneLimits, LostRecords
from shared.observability import metrics as m
from tests.integration.lanes.kit import World, until, values

pytestmark = [pytest.mark.kafka, pytest.mark.postgres]


@pytest_asyncio.fixture
async def admin(kafka_bootstrap: str) -> AsyncIterator[AIOKafkaAdminClient]:
    client = AIOKafkaAdminClient(bootstrap_servers=kafka_bootstrap)
    await client.start()
    yield client
    await client.close()


async def test_unread_records_that_retention_removed_stop_the_partition_and_are_counted(
    lanes_world: World, admin: AIOKafkaAdminClient
) -> None:
    world = lanes_world
    await _fold_ten_then_lose_five(world, admin)

    await world.worker("two", limits=LaneLimits(truncation_patience_s=0.5))
    await until(lambda: _frozen(world))

    row = await world.row()
    assert (row["next_offset"], row["owner"]) == (10, None)
    assert "retention removed 5 records" in row["frozen_reason"]
    assert world.count("two", m.LANE_RECORDS_LOST, world.group) == 5
    await until(lambda: _shows_frozen(world, "two"))


async def test_lost_records_are_passed_over_where_the_policy_says_so(
    lanes_world: World, admin: AIOKafkaAdminClient
) -> None:
    world = lanes_world
    await _fold_ten_then_lose_five(world, admin)

    await world.worker("two", limits=LaneLimits(lost_records=LostRecords.CONTINUE))
    await until(lambda: _has(world, 15))

    assert await world.seen() == values("a", 10) + values("b", 10)[5:]
    assert world.count("two", m.LANE_RECORDS_LOST, world.group) == 5


async def test_a_new_group_begins_with_what_the_log_still_holds(
    lanes_world: World, admin: AIOKafkaAdminClient
) -> None:
    world = lanes_world
    await world.produce(0, *values("a", 10))
    await admin.delete_records({TopicPartition(world.topic, 0): RecordsToDelete(before_offset=4)})

    await world.worker("one")
    await until(lambda: _has(world, 6))

    assert await world.seen() == values("a", 10)[4:]
    assert world.count("one", m.LANE_RECORDS_LOST, world.group) == 0
    await world.check_ledger()


async def test_an_offset_beyond_the_logs_end_stops_the_partition(lanes_world: World) -> None:
    world = lanes_world
    one = await world.worker("one", limits=LaneLimits(truncation_patience_s=0.5))
    await world.produce(0, *values("a", 3))
    await until(lambda: _has(world, 3))
    await world.stop(one)

    await world.owner.execute(
        "UPDATE consumer_partition SET next_offset = 99 WHERE grp = $1 AND part = 0", world.group
    )
    await world.worker("two", limits=LaneLimits(truncation_patience_s=0.5))

    await until(lambda: _frozen(world))
    assert (await world.row())["frozen_reason"] == "the log ends at 3, before the stored offset 99"


async def test_a_topic_made_anew_stops_its_partitions(
    lanes_world: World, admin: AIOKafkaAdminClient
) -> None:
    world = lanes_world
    limits = LaneLimits(truncation_patience_s=0.5)
    one = await world.worker("one", limits=limits)
    await world.produce(0, "old")
    await until(lambda: _has(world, 1))
    await world.stop(one)

    await admin.delete_topics([world.topic])
    await until(lambda: _made(world, admin))
    await world.worker("two", limits=limits)

    # As long as the old one: only its id tells that it is another log.
    await until(lambda: _frozen(world))
    assert "made anew" in (await world.row())["frozen_reason"]
    assert await world.seen() == ["old"]


async def test_a_topic_made_anew_under_a_running_lane_stops_its_partitions(
    lanes_world: World, admin: AIOKafkaAdminClient
) -> None:
    """The new log is the longer one, so that no offset tells: only the topic's id does."""
    world = lanes_world
    await world.worker("one", limits=LaneLimits(truncation_patience_s=0.5))
    await world.produce(0, "old")
    await until(lambda: _has(world, 1))

    await admin.delete_topics([world.topic])
    await until(lambda: _made(world, admin))
    await world.produce(0, *values("n", 5))

    await until(lambda: _frozen(world))
    assert "made anew" in (await world.row())["frozen_reason"]


async def test_offsets_that_the_log_skips_are_accepted_and_counted(lanes_world: World) -> None:
    world = lanes_world
    await world.worker("one")
    writer = AIOKafkaProducer(bootstrap_servers=world.bootstrap, transactional_id=world.group)
    await writer.start()
    for value in ("a", "b"):
        async with writer.transaction():
            await writer.send(world.topic, value.encode(), partition=0)
    await writer.stop()

    # Two records, and after each the marker of its transaction.
    await until(lambda: _at(world, 4))
    assert await world.seen() == ["a", "b"]
    assert world.count("one", m.LANE_OFFSET_GAPS, world.group) == 2
    await world.check_ledger()


async def _fold_ten_then_lose_five(world: World, admin: AIOKafkaAdminClient) -> None:
    one = await world.worker("one")
    await world.produce(0, *values("a", 10))
    await until(lambda: _has(world, 10))
    await world.stop(one)
    await world.produce(0, *values("b", 10))
    await admin.delete_records({TopicPartition(world.topic, 0): RecordsToDelete(before_offset=15)})


async def _made(world: World, admin: AIOKafkaAdminClient) -> bool:
    answer = await admin.create_topics([NewTopic(world.topic, 6, 1)])
    made = all(code == 0 for _, code, *_ in answer.topic_errors)
    if made:
        await asyncio.wait_for(world.produce(0, "new"), 10)
    return made


async def _has(world: World, count: int) -> bool:
    return len(await world.seen()) >= count


async def _at(world: World, offset: int) -> bool:
    rows = await world.owner.fetch(
        "SELECT next_offset FROM consumer_partition WHERE grp = $1 AND part = 0", world.group
    )
    return bool(rows) and rows[0]["next_offset"] == offset


async def _shows_frozen(world: World, name: str) -> bool:
    return world.count(name, m.LANE_FROZEN, world.group) == 1


async def _frozen(world: World) -> bool:
    return bool(
        await world.owner.fetchval(
            "SELECT count(*) FROM consumer_partition"
            " WHERE grp = $1 AND part = 0 AND frozen_reason IS NOT NULL",
            world.group,
        )
    )
