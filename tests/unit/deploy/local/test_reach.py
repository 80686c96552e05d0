from pathlib import Path

import pytest

from deploy.local import reach
from deploy.local.errors import LocalError


def test_a_directory_below_a_closed_one_can_not_be_reached(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    (closed / "open").mkdir(parents=True)
    closed.chmod(0o700)
    assert not reach.passable(closed / "open")


def test_one_who_runs_as_oneself_needs_no_other_place(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    assert reach.home_for(closed / "data", account=None) == closed / "data"


def test_the_place_for_an_account_that_can_not_get_here_is_the_same_each_time(
    tmp_path: Path,
) -> None:
    data = tmp_path / "closed" / "data"
    data.parent.mkdir(mode=0o700)
    found = reach.home_for(data, account="nobody")
    try:
        assert reach.passable(found)
        assert data.resolve() == found
        assert reach.home_for(data, account="nobody") == found
    finally:
        reach.remove_home(data)
    assert not found.exists()
    assert not data.is_symlink()


def test_a_place_that_was_deleted_is_made_anew(tmp_path: Path) -> None:
    data = tmp_path / "closed" / "data"
    data.parent.mkdir(mode=0o700)
    reach.home_for(data, account="nobody").rmdir()
    assert reach.home_for(data, account="nobody").is_dir()
    reach.remove_home(data)


def test_data_that_an_account_can_not_follow_are_not_forgotten_in_silence(tmp_path: Path) -> None:
    data = tmp_path / "closed" / "data"
    (data / "base").mkdir(parents=True)
    data.parent.chmod(0o700)
    with pytest.raises(LocalError, match="holds data"):
        reach.home_for(data, account="nobody")


def test_programs_that_an_account_can_not_read_are_copied_to_where_it_can(tmp_path: Path) -> None:
    root = tmp_path / "closed"
    (root / "tree" / "bin").mkdir(parents=True)
    (root / "libs").mkdir()
    tool = root / "tree" / "bin" / "tool"
    tool.write_text("#!/bin/sh\n")
    tool.chmod(0o700)
    root.chmod(0o700)

    def place(account: str | None) -> Path:
        return reach.readable_copy(
            root, ("tree", "libs"), beside=tmp_path, account=account, version="1"
        )

    copy = place("nobody")
    assert copy != root
    assert (copy / "tree" / "bin" / "tool").stat().st_mode & 0o777 == 0o755
    assert (copy / "libs").is_dir()
    assert place("nobody") == copy
    assert place(None) == root
