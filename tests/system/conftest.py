"""Fixtures of the tests that start whole processes."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest_asyncio

from tests.system.stack import Stack


@pytest_asyncio.fixture
async def stack(tmp_path: Path, postgres_url: str) -> AsyncIterator[Stack]:
    """The whole system, running, with a database and a broker of its own."""
    async with Stack(tmp_path / "stack", postgres=postgres_url) as running:
        yield running
