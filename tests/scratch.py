"""Short-lived directories that the account of Postgres can pass through."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PREFIX = "ebbtide-test-"


@contextmanager
def scratch_directory(place: Path | None = None) -> Iterator[Path]:
    """Give a directory, by default where temporary files lie, and delete it afterwards."""
    with tempfile.TemporaryDirectory(prefix=PREFIX, dir=place, ignore_cleanup_errors=True) as name:
        Path(name).chmod(0o711)
        yield Path(name)
