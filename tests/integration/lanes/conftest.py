from collections.abc import AsyncIterator

import pytest_asyncio

from tests.integration.lanes.kit import World, world
from tests.servers import Database, MakeTopic


@pytest_asyncio.fixture
async def lanes_world(
    database: Database, kafka_bootstrap: str, topic: MakeTopic
) -> AsyncIterator[World]:
    async with world(database, kafka_bootstrap, await topic(partitions=6)) as made:
        yield made
