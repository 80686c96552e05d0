from pathlib import Path

from deploy.local.follow import LogFollower


def test_only_whole_lines_written_since_the_last_look_are_given(tmp_path: Path) -> None:
    log = tmp_path / "a.log"
    log.write_text("before\n")
    follower = LogFollower()
    follower.follow("a", log)
    with log.open("a") as file:
        file.write("one\ntw")
    assert list(follower.new_lines()) == [("a", "one")]
    with log.open("a") as file:
        file.write("o\n")
    assert list(follower.new_lines()) == [("a", "two")]
    assert list(follower.new_lines()) == []


def test_a_log_that_does_not_exist_yet_is_read_from_its_start(tmp_path: Path) -> None:
    follower = LogFollower()
    follower.follow("late", tmp_path / "late.log")
    assert list(follower.new_lines()) == []
    (tmp_path / "late.log").write_text("first\n")
    assert list(follower.new_lines()) == [("late", "first")]
