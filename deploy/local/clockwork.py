"""`python -m deploy.local clock`: set, advance or release the product time of a running system."""

import math
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

from deploy.local.errors import LocalError
from shared.clock import (
    EARLIEST,
    FASTEST,
    LATEST,
    Drive,
    DrivenClock,
    SystemClock,
    read_drive,
    write_drive,
)

# What may pass between two looks at a clock.
_SLACK = timedelta(seconds=5)
_MEND = "set the clock anew, `make clock SET=…` or `make clock REAL=1`"
_UNITS = {"w": "weeks", "d": "days", "h": "hours", "m": "minutes", "s": "seconds"}
_DURATION = re.compile(r"(?:\d+(?:\.\d+)?[wdhms])+")
_PIECE = re.compile(r"(\d+(?:\.\d+)?)([wdhms])")


def parse_duration(text: str) -> timedelta:
    """Return the length of `7d`, `12h`, `1d12h`, `90s`. Raises LocalError."""
    if not _DURATION.fullmatch(text):
        raise LocalError(f"{text!r} is not a length of time such as 7d, 12h, 30m or 1d12h")
    parts = {_UNITS[unit]: float(number) for number, unit in _PIECE.findall(text)}
    try:
        return timedelta(**parts)
    except OverflowError:
        raise LocalError(f"{text!r} is longer than product time lasts") from None


def parse_instant(text: str) -> datetime:
    """Return an instant in UTC; one without an offset is taken as UTC. Raises LocalError."""
    try:
        instant = datetime.fromisoformat(text)
    except ValueError:
        raise LocalError(f"{text!r} is not an instant such as 1997-01-01T00:00:00Z") from None
    aware = instant.replace(tzinfo=instant.tzinfo or UTC)
    _refuse_out_of_bounds(aware)
    return aware.astimezone(UTC)


def parse_rate(text: str) -> float:
    """Return how fast time is to run. Raises LocalError."""
    try:
        rate = float(text)
    except ValueError:
        rate = math.nan
    if not 0 <= rate <= FASTEST:
        raise LocalError(f"{text!r} is not a rate from 0 (standing still) to {FASTEST:,.0f}")
    return rate


def _refuse_out_of_bounds(instant: datetime) -> None:
    if not EARLIEST <= instant <= LATEST:
        raise LocalError(
            f"{instant.isoformat()} is out of bounds: product time lies between"
            f" {EARLIEST:%Y} and {LATEST:%Y}"
        )


def unreadable(path: Path) -> bool:
    """Tell whether there is a clock file that says nothing."""
    return path.exists() and read_drive(path) is None


def set_clock(path: Path, instant: datetime, *, rate: float) -> None:
    """Make it `instant` for every service, from where time passes `rate` times as fast."""
    write_drive(path, Drive(product=instant, system=SystemClock().now(), rate=rate))


def refuse_going_back(path: Path, instant: datetime, *, has_data: bool) -> None:
    """Raise LocalError where data were folded up to a later time than `instant`.

    A watermark never falls: everything until then counts as seen, and what comes after it as late.
    A file that can't be read says nothing of the time, and is there to be replaced.
    """
    if unreadable(path):
        return
    now = DrivenClock(path).now()
    if has_data and instant < now - _SLACK:
        raise LocalError(
            f"product time is {now.isoformat(timespec='seconds')} and can't go back to"
            f" {instant.isoformat(timespec='seconds')} while there are data; `make down` deletes them"
        )


def advance_clock(path: Path, by: timedelta) -> None:
    """Make time jump ahead, and run on as it did. Raises LocalError."""
    if unreadable(path):
        raise LocalError(f"{path} can't be read: {_MEND}")
    drive, now = read_drive(path), DrivenClock(path).now()
    if by > LATEST - now:
        raise LocalError(f"product time ends in {LATEST:%Y}, and it is {now.isoformat()} already")
    set_clock(path, now + by, rate=1.0 if drive is None else drive.rate)


def release_clock(path: Path) -> None:
    """Let product time be the machine's time again."""
    path.unlink(missing_ok=True)


def describe_clock(path: Path) -> str:
    """Say what product time is and how it runs."""
    drive = read_drive(path)
    now = DrivenClock(path).now().isoformat(timespec="seconds")
    if unreadable(path):
        return f"product time is what each program last read: {path} can't be read; {_MEND}"
    if drive is None:
        return f"product time is the machine's: {now}"
    runs = {0.0: "standing still", 1.0: "running on"}.get(
        drive.rate, f"{drive.rate:g} times as fast"
    )
    return f"product time is driven: {now}, {runs}"
