"""ISO 8601 as people write it: one rule for whoever takes events and whoever reads them from files."""

import re
from datetime import datetime, timedelta

_END_OF_DAY = re.compile(r"([0-9W-]+[Tt ])24((?::?00){0,2}(?:[.,]0+)?(?:[Zz]|[+-][0-9:]+)?)")
_LEAP_SECOND = re.compile(
    r"([0-9W-]+[Tt ][0-9]{2}:?[0-9]{2}:?)60(?:[.,][0-9]+)?((?:[Zz]|[+-][0-9:]+)?)"
)


def read_iso(text: str) -> datetime:
    """Return the instant, with its offset where it is written with one.

    The hour 24 and the second 60 are the moment that follows. Raises ValueError where it is no instant,
    OverflowError where that moment lies beyond the calendar.
    """
    text, later = _within_the_clock(text)
    return datetime.fromisoformat(text) + later


def _within_the_clock(text: str) -> tuple[str, timedelta]:
    """Return the time without the hour 24 or the second 60, which Python lacks, and what to add for it."""
    if midnight := _END_OF_DAY.fullmatch(text):
        return f"{midnight[1]}00{midnight[2]}", timedelta(days=1)
    if leap := _LEAP_SECOND.fullmatch(text):
        return f"{leap[1]}59{leap[2]}", timedelta(seconds=1)
    return text, timedelta()
