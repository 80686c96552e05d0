"""When people with a habit come: instants of visits, in order, from joining to the end of history."""

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from enum import StrEnum
from random import Random
from types import MappingProxyType


class Habit(StrEnum):
    """How someone uses the product."""

    DAILY = "daily"
    WEEKLY = "weekly"
    ONE_TIME = "one-time"
    DRIFTING = "drifting away"
    RETURNING = "coming back"


Visits = Iterator[datetime]
_DAY = timedelta(days=1)


def visits(habit: Habit, *, joined: datetime, until: datetime, random: Random) -> Visits:
    """Yield every visit from `joined` until just before `until`."""
    for visit in _PATTERNS[habit](joined, until, random):
        if visit >= until:
            return
        yield visit


def _daily(joined: datetime, _until: datetime, random: Random) -> Visits:
    visit = joined
    while True:
        yield visit
        skipped = 0 if random.random() < 0.85 else random.randint(1, 3)
        visit += (1 + skipped) * _DAY + _jitter(random, hours=3)


def _weekly(joined: datetime, _until: datetime, random: Random) -> Visits:
    visit = joined
    while True:
        yield visit
        visit += 5.5 * _DAY + _jitter(random, hours=30)


def _one_time(joined: datetime, _until: datetime, random: Random) -> Visits:
    visit = joined
    for _ in range(random.randint(1, 3)):
        yield visit
        visit += timedelta(minutes=random.uniform(2, 40))


def _drifting(joined: datetime, _until: datetime, random: Random) -> Visits:
    """Yield visits ever further apart, until nobody comes any more."""
    visit, gap = joined, random.uniform(0.8, 2.0)
    while gap < 28:
        yield visit
        visit += gap * _DAY
        gap *= random.uniform(1.1, 1.5)


def _returning(joined: datetime, until: datetime, random: Random) -> Visits:
    """Yield weeks of use, a silence longer than a month, and use again; two in three quite lately.

    Who joined too late for a silence that long has not left yet.
    """
    pause = random.uniform(32, 70) * _DAY
    back = until - random.uniform(0.1, 6.5 if random.random() < 0.66 else 40) * _DAY
    left = back - pause
    if left <= joined:
        yield from _daily(joined, until, random)
    for visit in _daily(joined, until, random):
        if visit > left or visit > joined + 40 * _DAY:
            break
        yield visit
    yield from _daily(back, until, random)


def _jitter(random: Random, *, hours: float) -> timedelta:
    return timedelta(hours=random.uniform(-hours, hours))


_PATTERNS: MappingProxyType[Habit, Callable[[datetime, datetime, Random], Visits]] = (
    MappingProxyType(
        {
            Habit.DAILY: _daily,
            Habit.WEEKLY: _weekly,
            Habit.ONE_TIME: _one_time,
            Habit.DRIFTING: _drifting,
            Habit.RETURNING: _returning,
        }
    )
)
