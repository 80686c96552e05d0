"""`python -m deploy.local clock`: set, advance or release the product time of a running system."""

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

from deploy.local.errors import LocalError
from shared.clock import Drive, DrivenClock, SystemClock, read_drive, write_drive

# What may pass between two looks at a clock.
_SLACK = timedelta(seconds=5)
_UNITS = {"w": "weeks", "d": "days", "h": "hours", "m": "minutes", "s": "seconds"}
_DURATION = re.compile(r"(?:\d+(?:\.\d+)?[wdhms])+")
_PIECE = re.compile(r"(\d+(?:\.\d+)?)([wdhms])")


def parse_duration(text: str) -> timedelta:
    """Return the length of `7d`, `12h`, `1d12h`, `90s`. Raises LocalError."""
    if not _DURATION.fullmatch(text):
        raise LocalError(f"{text!r} is not a length of time such as 7d, 12h, 30m or 1d12h")
    parts = {_UNITS[unit]: float(number) for number, unit in _PIECE.findall(text)}
    return timedelta(**parts)


def parse_instant(text: str) -> datetime:
    """Return an instant in UTC; one without an offset is taken as UTC. Raises LocalError."""
    try:
        instant = datetime.fromisoformat(text)
    except ValueError:
        raise LocalError(f"{text!r} is not an instant such as 1997-01-01T00:00:00Z") from None
    return instant.replace(tzinfo=instant.tzinfo or UTC).astimezone(UTC)


def set_clock(path: Path, instant: datetime, *, rate: float) -> None:
    """Make it `instant` for every service, from where time passes `rate` times as fast."""
    write_drive(path, Drive(product=instant, system=SystemClock().now(), rate=rate))


def refuse_going_back(path: Path, instant: datetime, *, has_data: bool) -> None:
    """Raise LocalError where data were folded up to a later time than `instant`.

    A watermark never falls: everything until then counts as seen, and what comes after it as late.
    """
    now = DrivenClock(path).now()
    if has_data and instant < now - _SLACK:
        raise LocalError(
            f"product time is {now.isoformat(timespec='seconds')} and can't go back to"
            f" {instant.isoformat(timespec='seconds')} while there are data; `make down` deletes them"
        )


def advance_clock(path: Path, by: timedelta) -> None:
    """Make time jump ahead, and run on as it did."""
    drive = read_drive(path)
    set_clock(path, DrivenClock(path).now() + by, rate=1.0 if drive is None else drive.rate)


def release_clock(path: Path) -> None:
    """Let product time be the machine's time again."""
    path.unlink(missing_ok=True)


def describe_clock(path: Path) -> str:
    """Say what product time is and how it runs."""
    drive = read_drive(path)
    now = DrivenClock(path).now().isoformat(timespec="seconds")
    if drive is None:
        return f"product time is the machine's: {now}"
    runs = {0.0: "standing still", 1.0: "running on"}.get(
        drive.rate, f"{drive.rate:g} times as fast"
    )
    return f"product time is driven: {now}, {runs}"
