from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from deploy.local import clockwork
from deploy.local.cli import main
from deploy.local.errors import LocalError
from shared.clock import DrivenClock, read_drive

NEW_YEAR = datetime(1997, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "length"),
    [
        ("7d", timedelta(days=7)),
        ("1d12h", timedelta(days=1, hours=12)),
        ("90s", timedelta(seconds=90)),
        ("1.5h", timedelta(minutes=90)),
        ("2w", timedelta(weeks=2)),
    ],
)
def test_lengths_of_time_are_written_as_people_write_them(text: str, length: timedelta) -> None:
    assert clockwork.parse_duration(text) == length


@pytest.mark.parametrize("text", ["", "7", "d", "-1d", "7 d", "1y", "9999999999999d"])
def test_what_is_not_a_length_of_time_is_refused(text: str) -> None:
    with pytest.raises(LocalError, match=r"length of time|longer than"):
        clockwork.parse_duration(text)


def test_an_instant_without_an_offset_is_taken_as_utc() -> None:
    assert clockwork.parse_instant("1997-01-01") == NEW_YEAR
    assert clockwork.parse_instant("1997-01-01T08:00:00+08:00") == NEW_YEAR


def test_what_is_not_an_instant_is_refused() -> None:
    with pytest.raises(LocalError, match="yesterday"):
        clockwork.parse_instant("yesterday")


def test_a_clock_set_at_rate_0_stands_still(tmp_path: Path) -> None:
    path = tmp_path / "clock.json"
    clockwork.set_clock(path, NEW_YEAR, rate=0)
    assert DrivenClock(path).now() == NEW_YEAR
    assert "standing still" in clockwork.describe_clock(path)


def test_advancing_a_clock_keeps_its_rate(tmp_path: Path) -> None:
    path = tmp_path / "clock.json"
    clockwork.set_clock(path, NEW_YEAR, rate=0)
    clockwork.advance_clock(path, timedelta(days=7))
    assert DrivenClock(path).now() == NEW_YEAR + timedelta(days=7)


def test_advancing_the_machines_time_lets_it_run_on(tmp_path: Path) -> None:
    path = tmp_path / "clock.json"
    clockwork.advance_clock(path, timedelta(days=1))
    drive = read_drive(path)
    assert drive is not None
    assert drive.rate == 1
    assert timedelta(hours=23) < drive.product - drive.system < timedelta(hours=25)


def test_a_released_clock_is_the_machines_again(tmp_path: Path) -> None:
    path = tmp_path / "clock.json"
    clockwork.set_clock(path, NEW_YEAR, rate=1)
    clockwork.release_clock(path)
    clockwork.release_clock(path)
    assert "the machine's" in clockwork.describe_clock(path)


def test_product_time_does_not_go_back_over_data(tmp_path: Path) -> None:
    path = tmp_path / "clock.json"
    clockwork.set_clock(path, NEW_YEAR, rate=0)

    clockwork.refuse_going_back(path, NEW_YEAR, has_data=True)
    clockwork.refuse_going_back(path, NEW_YEAR - timedelta(days=1), has_data=False)
    with pytest.raises(LocalError, match="can't go back to 1996-12-31"):
        clockwork.refuse_going_back(path, NEW_YEAR - timedelta(days=1), has_data=True)


def test_the_command_refuses_to_go_back_and_leaves_the_clock_as_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("EBBTIDE_LOCAL_DIR", str(tmp_path))
    assert main(["clock", "--set=2090-01-01T00:00:00Z", "--rate=0"]) == 0
    (tmp_path / "postgres").mkdir()
    (tmp_path / "postgres" / "PG_VERSION").write_text("18")

    assert main(["clock", "--set=2089-01-01T00:00:00Z"]) == 1
    assert main(["clock", "--real"]) == 1

    assert "can't go back" in capsys.readouterr().err
    assert DrivenClock(tmp_path / "clock.json").now().year == 2090


@pytest.mark.parametrize("text", ["nan", "inf", "-inf", "-1000", "1e12", "1000001", "fast", ""])
def test_a_rate_that_time_can_not_have_is_refused(text: str) -> None:
    with pytest.raises(LocalError, match="not a rate from 0"):
        clockwork.parse_rate(text)


@pytest.mark.parametrize(
    "text", ["1969-12-31", "2200-01-02", "0001-01-01T00:00:00+14:00", "9999-12-31T23:00:00-14:00"]
)
def test_an_instant_far_from_any_product_is_refused(text: str) -> None:
    with pytest.raises(LocalError, match="between 1970 and 2200"):
        clockwork.parse_instant(text)


def test_time_is_not_advanced_beyond_its_end(tmp_path: Path) -> None:
    path = tmp_path / "clock.json"
    clockwork.set_clock(path, NEW_YEAR, rate=0)

    with pytest.raises(LocalError, match="ends in 2200"):
        clockwork.advance_clock(path, timedelta(days=75_000))

    assert DrivenClock(path).now() == NEW_YEAR


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["--set=1997-01-01", "--rate=nan"], "'nan' is not a rate"),
        (["--set=1997-01-01", "--rate=-1000"], "'-1000' is not a rate"),
        (["--rate=0"], "name both"),
        (["--set=1997-01-01", "--advance=7d"], "name one of them"),
        (["--advance=7d", "--real"], "name one of them"),
        (["--advance=-7d"], "'-7d' is not a length of time"),
    ],
)
def test_the_command_refuses_in_one_line_and_leaves_the_clock_as_it_is(
    words: list[str],
    why: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("EBBTIDE_LOCAL_DIR", str(tmp_path))

    assert main(["clock", *words]) == 1

    said = capsys.readouterr().err
    assert why in said
    assert said.count("\n") == 1
    assert not (tmp_path / "clock.json").exists()


@pytest.mark.parametrize("words", [["--set=1997-01-01"], ["--real"]])
def test_a_broken_clock_file_is_named_and_replaced_by_setting_the_clock(
    words: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("EBBTIDE_LOCAL_DIR", str(tmp_path))
    path = tmp_path / "clock.json"
    path.write_text('{"product": "1997-01-01T00:00:00+00:00"')
    (tmp_path / "postgres").mkdir()
    (tmp_path / "postgres" / "PG_VERSION").write_text("18")

    assert main(["clock"]) == 0
    assert f"{path} can't be read" in capsys.readouterr().out
    assert main(["clock", "--advance=1d"]) == 1
    assert main(["clock", *words]) == 0

    assert not clockwork.unreadable(path)
