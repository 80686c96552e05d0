"""Directories in memory: there while they are used, and gone afterwards, however a run ended."""

import fcntl
import os
from pathlib import Path

from tests.memory import YOUNG_S, memory_directory
from tests.scratch import PREFIX


def left_behind(place: Path, *, age_s: float) -> Path:
    """Make what a killed run leaves, so many seconds older than what is made now."""
    left = place / f"{PREFIX}left-{age_s:.0f}"
    (left / "postgres").mkdir(parents=True)
    made = left.stat().st_mtime - age_s
    os.utime(left, (made, made))
    return left


def test_a_directory_lies_in_memory_and_is_deleted_afterwards(tmp_path: Path) -> None:
    with memory_directory(tmp_path, room=0) as made:
        assert made.parent == tmp_path
        (made / "file").write_text("something")
    assert not made.exists()


def test_where_there_is_too_little_memory_it_lies_on_the_disk(tmp_path: Path) -> None:
    with memory_directory(tmp_path, room=2**62) as made:
        assert made.is_dir()
        assert made.parent != tmp_path
    with memory_directory(tmp_path / "no such place", room=0) as made:
        assert made.is_dir()


def test_what_a_killed_run_left_is_deleted_by_the_next(tmp_path: Path) -> None:
    left, young = (left_behind(tmp_path, age_s=age) for age in (YOUNG_S + 5, YOUNG_S - 5))
    others = tmp_path / "somebody-else-s"
    others.mkdir()
    with memory_directory(tmp_path, room=0):
        assert not left.exists()
        assert young.exists()
        assert others.exists()


def test_what_another_run_uses_stays(tmp_path: Path) -> None:
    left = left_behind(tmp_path, age_s=YOUNG_S + 5)
    handle = os.open(left, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        with memory_directory(tmp_path, room=0):
            assert left.exists()
    finally:
        os.close(handle)
    with memory_directory(tmp_path, room=0):
        assert not left.exists()
