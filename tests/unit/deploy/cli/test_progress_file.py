"""What is kept of an import is found again by exactly the same work, and by no other."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from deploy.cli.exits import Failed
from deploy.cli.importing.judging import Rejected
from deploy.cli.importing.progress_file import Progress, ProgressFile, Work, fingerprint
from deploy.cli.importing.rejects import RejectsFile
from deploy.cli.importing.rows import Place

WORK = Work("/a.csv", "digest", "mapping", "http://ingest", fingerprint("key"), "/a.rejected")
DONE = Progress(120, 7, accepted=4, rejected=1, rejects_bytes=80)


def test_progress_is_found_again_by_the_same_work(tmp_path: Path) -> None:
    ProgressFile(tmp_path, WORK).save(DONE)

    assert ProgressFile(tmp_path, WORK).load() == DONE
    assert ProgressFile(tmp_path, replace(WORK, file="/moved.csv")).load() == DONE
    (kept,) = tmp_path.iterdir()
    assert kept.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    "other", [{"mapping": "x"}, {"url": "http://other"}, {"key": fingerprint("other")}]
)
def test_other_work_begins_at_the_beginning(tmp_path: Path, other: dict[str, str]) -> None:
    ProgressFile(tmp_path, WORK).save(DONE)

    assert ProgressFile(tmp_path, replace(WORK, **other)).load() == Progress()


def test_a_changed_file_is_refused_until_what_is_known_of_it_is_forgotten(tmp_path: Path) -> None:
    ProgressFile(tmp_path, WORK).save(DONE)
    changed = ProgressFile(tmp_path, replace(WORK, digest="another"))

    with pytest.raises(Failed, match=r"/a.csv has changed since 5 rows .* --restart"):
        changed.load()
    changed.forget()

    assert changed.load() == Progress()


def test_rejects_that_go_elsewhere_now_are_not_taken_for_written(tmp_path: Path) -> None:
    ProgressFile(tmp_path, WORK).save(DONE)

    found = ProgressFile(tmp_path, replace(WORK, rejects="/b.rejected")).load()

    assert found == replace(DONE, rejects_bytes=0)


@pytest.mark.parametrize("content", ["", "{", "[]", '{"work": {}}', '{"work": 1, "progress": 2}'])
def test_what_cannot_be_read_is_told_and_not_overwritten(tmp_path: Path, content: str) -> None:
    ProgressFile(tmp_path, WORK).save(DONE)
    (kept,) = tmp_path.iterdir()
    kept.write_text(content)

    with pytest.raises(Failed, match=r"can't be read .* delete it to begin anew"):
        ProgressFile(tmp_path, WORK).load()
    assert kept.read_text() == content


def test_the_same_work_is_held_once(tmp_path: Path) -> None:
    first, second = ProgressFile(tmp_path, WORK), ProgressFile(tmp_path, WORK)
    other = ProgressFile(tmp_path, replace(WORK, url="http://other"))
    first.hold()
    other.hold()

    with pytest.raises(Failed, match="is being imported by another process"):
        second.hold()
    first.close()
    second.hold()

    second.close()
    other.close()


def rejected(line: int) -> Rejected:
    return Rejected(line, "not_utf8", "is not UTF-8", b"x", Place(0, line + 1))


def lines(path: Path) -> list[int]:
    return [json.loads(each)["line"] for each in path.read_text().splitlines()]


def test_rejects_that_nobody_knew_to_be_written_are_written_over(tmp_path: Path) -> None:
    path, source = tmp_path / "r", tmp_path / "a.csv"
    first = RejectsFile(path, source, kept=0)
    first.add([rejected(2)])
    kept = first.save()
    first.add([rejected(3), rejected(4)])
    first.close()

    second = RejectsFile(path, source, kept=kept)
    second.add([rejected(3)])
    second.close()

    assert lines(path) == [2, 3]


def test_rejects_that_are_gone_meanwhile_are_no_hindrance(tmp_path: Path) -> None:
    file = RejectsFile(tmp_path / "r", tmp_path / "a.csv", kept=5_000)
    file.add([rejected(9)])
    file.close()

    assert lines(tmp_path / "r") == [9]


def test_without_rejects_there_is_no_file(tmp_path: Path) -> None:
    RejectsFile(tmp_path / "r", tmp_path / "a.csv", kept=0).close()

    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_none_of_rejects_is_never_written_over(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("customer,date\n")

    with pytest.raises(Failed, match="is no file of rejects: name another by --rejects"):
        RejectsFile(path, path, kept=0)
    assert path.read_text() == "customer,date\n"
