"""Days, weeks and months of the product's time zone, and the instants at which they begin. Pure."""

from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from enum import StrEnum

_DAY = timedelta(days=1)
_HOUR = timedelta(hours=1)
_SECOND = timedelta(seconds=1)
_LONGEST_MONTH = timedelta(days=31)


class Period(StrEnum):
    """Weeks begin on Mondays."""

    DAY = "day"
    WEEK = "week"
    MONTH = "month"

    def start(self, day: date) -> date:
        """Return the first day of the period that holds a day."""
        if self is Period.WEEK:
            return day - timedelta(days=day.weekday())
        return day.replace(day=1) if self is Period.MONTH else day

    def following(self, start: date) -> date:
        """Return the first day of the period after the one that begins on a day."""
        if self is Period.MONTH:
            return (start + _LONGEST_MONTH).replace(day=1)
        return start + (7 * _DAY if self is Period.WEEK else _DAY)

    def before(self, day: date, number: int) -> date:
        """Return the first day of the period that lies so many before the one of a day."""
        start = self.start(day)
        for _ in range(number):
            start = self.start(start - _DAY)
        return start

    def age(self, cohort: date, day: date) -> int:
        """Return how many periods, days or weeks, lie between a cohort's and the one of a day."""
        days = (self.start(day) - cohort).days
        return days // 7 if self is Period.WEEK else days


def starts(period: Period, first: date, end: date) -> list[date]:
    """Return the beginning of each period that holds a day from the first up to, but not with, the end."""
    found: list[date] = []
    start = period.start(first)
    while start < end:
        found.append(start)
        start = period.following(start)
    return found


def today(now: datetime, zone: tzinfo) -> date:
    return now.astimezone(zone).date()


def midnight(day: date, zone: tzinfo) -> datetime:
    """Return the instant at which a day begins: where the clock skips midnight, the one after it."""
    return datetime.combine(day, time.min, zone).astimezone(UTC)


def hours(begin: datetime, end: datetime, zone: tzinfo) -> Iterator[datetime]:
    """Yield the instants at which the hours of the local clock begin.

    Where the clock is put forward or back another hour begins, as the segmenter counts them.
    """
    while begin < end:
        yield begin
        local = begin.astimezone(zone)
        into = timedelta(minutes=local.minute, seconds=local.second)
        following = begin + _HOUR - into
        if _offset(following, zone) != local.utcoffset():
            following = _change(begin, following, zone)
        begin = following


def _change(low: datetime, high: datetime, zone: tzinfo) -> datetime:
    """Return the first second with another offset than `low` has."""
    offset = _offset(low, zone)
    while high - low > _SECOND:
        middle = low + (high - low) // _SECOND // 2 * _SECOND
        if _offset(middle, zone) == offset:
            low = middle
        else:
            high = middle
    return high


def _offset(instant: datetime, zone: tzinfo) -> timedelta | None:
    return instant.astimezone(zone).utcoffset()
