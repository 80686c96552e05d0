"""Fixtures of the tests that start whole processes."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.system.stack import Stack


@pytest_asyncio.fixture
async def stack(
    request: pytest.FixtureRequest, tmp_path: Path, postgres_url: str
) -> AsyncIterator[Stack]:
    """The whole system, running, with a database and a broker of its own.

    Product time begins at the module's START, if it has one, and stands still.
    """
    begins = getattr(request.module, "START", None)
    async with Stack(tmp_path / "stack", postgres=postgres_url, begins=begins) as running:
        yield running
