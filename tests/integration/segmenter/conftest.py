from collections.abc import AsyncIterator

import pytest_asyncio

from tests.integration.segmenter.kit import Site, site_on
from tests.servers import Database


@pytest_asyncio.fixture
async def site(database: Database) -> AsyncIterator[Site]:
    """The segmenter's lanes on a database of the test's own, driven by hand."""
    async with site_on(database) as made:
        yield made
