"""Product time: whatever its file holds, it is told, it lies within bounds, and it does not go back."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from shared.clock import EARLIEST, FASTEST, LATEST, Drive, DrivenClock, read_drive, write_drive

NEW_YEAR = datetime(1997, 1, 1, tzinfo=UTC)
MACHINE = datetime(2026, 1, 1, tzinfo=UTC)
GOOD = {"product": NEW_YEAR.isoformat(), "system": MACHINE.isoformat(), "rate": 1.0}
BROKEN = [
    "",
    "[]",
    "{",
    json.dumps({**GOOD, "rate": float("nan")}),
    json.dumps({**GOOD, "rate": float("inf")}),
    json.dumps({**GOOD, "rate": -1}),
    json.dumps({**GOOD, "rate": 10**400}),
    json.dumps({**GOOD, "product": "0001-01-01T00:00:00+14:00"}),
    json.dumps({**GOOD, "system": None}),
]


class Machine:
    """A machine whose time stands still."""

    def now(self) -> datetime:
        return MACHINE


@pytest.mark.parametrize("rate", [float("nan"), float("inf"), -1.0, FASTEST + 1])
def test_a_drive_that_time_can_not_follow_is_not_made(rate: float) -> None:
    with pytest.raises(ValueError, match="not a rate"):
        Drive(NEW_YEAR, MACHINE, rate)


@pytest.mark.parametrize("instant", [EARLIEST - timedelta(days=1), LATEST + timedelta(days=1)])
def test_a_drive_from_outside_the_bounds_of_time_is_not_made(instant: datetime) -> None:
    with pytest.raises(ValueError, match="not between 1970 and 2200"):
        Drive(instant, MACHINE)


def test_the_fastest_time_stands_at_its_end_and_never_overflows() -> None:
    drive = Drive(NEW_YEAR, MACHINE, FASTEST)

    assert drive.at(MACHINE + timedelta(seconds=1)) == NEW_YEAR + timedelta(seconds=FASTEST)
    assert drive.at(MACHINE + timedelta(days=30)) == LATEST
    assert drive.at(LATEST) == LATEST
    assert drive.at(EARLIEST) == EARLIEST


@pytest.mark.parametrize("text", BROKEN)
def test_a_broken_file_leaves_what_was_last_read_in_force(text: str, tmp_path: Path) -> None:
    path = tmp_path / "clock.json"
    clock = DrivenClock(path, system=Machine())
    write_drive(path, Drive(NEW_YEAR, MACHINE, rate=0.0))
    assert clock.now() == NEW_YEAR

    (tmp_path / "broken").write_text(text)
    (tmp_path / "broken").replace(path)

    assert clock.now() == NEW_YEAR


@pytest.mark.parametrize("text", BROKEN)
def test_a_file_that_was_never_whole_leaves_the_machines_time(text: str, tmp_path: Path) -> None:
    path = tmp_path / "clock.json"
    path.write_text(text)

    assert read_drive(path) is None
    assert DrivenClock(path, system=Machine()).now() == MACHINE


def test_a_file_that_can_not_be_looked_at_leaves_what_was_last_read(tmp_path: Path) -> None:
    folder = tmp_path / "state"
    folder.mkdir()
    clock = DrivenClock(folder / "clock.json", system=Machine())
    write_drive(folder / "clock.json", Drive(NEW_YEAR, MACHINE, rate=0.0))
    assert clock.now() == NEW_YEAR

    folder.rename(tmp_path / "elsewhere")
    folder.write_text("a file where the directory was")

    assert clock.now() == NEW_YEAR
