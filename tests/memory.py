"""Short-lived directories in memory, where a file costs nothing to make and to delete.

A database is some 300 files. On ext4 a file takes longer to make the more files have been deleted
within the last minute: a database of one test's own took 150 to 400 ms there, and takes 20 ms here.
"""

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.scratch import PREFIX, scratch_directory

PLACE = Path("/dev/shm")  # noqa: S108  mkdtemp makes names that nobody guesses
# A whole run needs a tenth of it; containers often have 64 MiB there.
ROOM = 4 * 1024**3
# Whoever has just made a directory may not have locked it yet.
YOUNG_S = 60.0


@contextmanager
def memory_directory(place: Path = PLACE, *, room: int = ROOM) -> Iterator[Path]:
    """Give a directory in memory, or one on the disk where there is too little memory.

    What runs that were killed have left behind is deleted: else it would be gone for good.
    """
    with scratch_directory(place if _is_roomy(place, room) else None) as made, _locked(made):
        if made.parent == place:
            _sweep(place, made)
        yield made


def _is_roomy(place: Path, room: int) -> bool:
    return place.is_dir() and os.access(place, os.W_OK) and shutil.disk_usage(place).free >= room


def _sweep(place: Path, mine: Path) -> None:
    youngest = mine.stat().st_mtime - YOUNG_S
    for left in place.glob(f"{PREFIX}*"):
        # Another user's, one in use, or one that somebody else deletes.
        with suppress(OSError):
            if left.stat().st_mtime < youngest:
                with _locked(left):
                    shutil.rmtree(left)


@contextmanager
def _locked(directory: Path) -> Iterator[None]:
    """Hold a lock that ends with this process, however it ends. Raises OSError if it is held."""
    handle = os.open(directory, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(handle)
