from collections.abc import AsyncIterator

import pytest_asyncio

from tests.unit.ingest.site import Site


@pytest_asyncio.fixture
async def ingest() -> AsyncIterator[Site]:
    site = Site()
    await site.log.start()
    yield site
    await site.client.aclose()
