"""Rows written as the owner, and the api that reads them through its own role."""

from collections.abc import AsyncIterator

import pytest_asyncio

from tests.integration.api.rows import Rows, connected
from tests.integration.api.site import Site, site
from tests.servers import Database


@pytest_asyncio.fixture
async def rows(database: Database) -> AsyncIterator[Rows]:
    async with connected(database.owner) as connection:
        yield Rows(connection)


@pytest_asyncio.fixture
async def api(database: Database) -> AsyncIterator[Site]:
    async with site(database.api) as made:
        yield made
