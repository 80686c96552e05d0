"""A topic gets more partitions under workers that run: the new ones are folded too, and nothing stops."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from aiokafka.admin import AIOKafkaAdminClient, NewPartitions

from shared.lanes.limits import LaneLimits
from tests.integration.lanes.kit import World, until, values

pytestmark = [pytest.mark.kafka, pytest.mark.postgres]

PROMPT = LaneLimits(partitions_s=0.3)


@pytest_asyncio.fixture
async def admin(kafka_bootstrap: str) -> AsyncIterator[AIOKafkaAdminClient]:
    client = AIOKafkaAdminClient(bootstrap_servers=kafka_bootstrap)
    await client.start()
    yield client
    await client.close()


async def test_new_partitions_are_shared_out_and_folded_from_their_beginning(
    lanes_world: World, admin: AIOKafkaAdminClient
) -> None:
    world = lanes_world
    for name in ("one", "two"):
        await world.worker(name, limits=PROMPT)
    await until(lambda: _shares(world, one=3, two=3))
    epochs = {part: (await world.row(part))["epoch"] for part in range(6)}

    await admin.create_partitions({world.topic: NewPartitions(total_count=10)})
    await world.producer.client.force_metadata_update()
    for part in range(6, 10):
        await world.produce(part, *values(f"{part}-", 3))
    await until(lambda: _shares(world, one=5, two=5))
    await until(lambda: _has(world, 12))

    assert await world.seen() == [value for part in range(6, 10) for value in values(f"{part}-", 3)]
    assert {part: (await world.row(part))["epoch"] for part in range(6)} == epochs
    await world.check_ledger()


async def test_a_worker_that_has_not_heard_of_the_new_partitions_gets_its_share_all_the_same(
    lanes_world: World, admin: AIOKafkaAdminClient
) -> None:
    """One worker's survey is enough: the table tells the others."""
    world = lanes_world
    await world.worker("deaf", limits=LaneLimits(partitions_s=3_600))
    await world.worker("one", limits=PROMPT)
    await until(lambda: _shares(world, deaf=3, one=3))

    await admin.create_partitions({world.topic: NewPartitions(total_count=8)})

    await until(lambda: _shares(world, deaf=4, one=4))


async def _shares(world: World, **wanted: int) -> bool:
    return await world.shares() == wanted


async def _has(world: World, count: int) -> bool:
    return len(await world.seen()) >= count
