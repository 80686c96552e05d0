"""A shell in an empty directory, and an ingest that takes everything."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.cli.kit import Server, Shell, served


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    return Shell(tmp_path)


@pytest.fixture
def ingest(shell: Shell) -> Iterator[Server]:
    with served(Server()) as server:
        shell.toward(server)
        yield server
