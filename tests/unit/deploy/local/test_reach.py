import hashlib
import shutil
from pathlib import Path

from deploy.local import reach


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
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    found = reach.home_for(closed / "data", account="nobody")
    try:
        assert reach.passable(found)
        assert found == reach.home_for(closed / "data", account="nobody")
        mark = hashlib.sha256(str((closed / "data").resolve()).encode()).hexdigest()
        assert found.name == f"ebbtide-{mark[:16]}"
    finally:
        shutil.rmtree(found)


def test_programs_that_an_account_can_not_read_are_copied_to_where_it_can(tmp_path: Path) -> None:
    tree = tmp_path / "closed" / "tree"
    (tree / "bin").mkdir(parents=True)
    (tree / "bin" / "tool").write_text("#!/bin/sh\n")
    (tree / "bin" / "tool").chmod(0o700)
    tree.parent.chmod(0o700)
    copy = reach.readable_copy(tree, beside=tmp_path, account="nobody", version="1")
    assert copy != tree
    assert (copy / "bin" / "tool").stat().st_mode & 0o777 == 0o755
    assert reach.readable_copy(tree, beside=tmp_path, account=None, version="1") == tree
