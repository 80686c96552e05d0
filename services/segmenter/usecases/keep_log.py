"""Keep room ahead in the event log and the history, and let the log's oldest days go."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Protocol

from services.segmenter.usecases.fold_events import DUPLICATE_WINDOW
from shared.contracts import topics
from shared.errors import RetryableError

DAY = timedelta(days=1)
DAYS_AHEAD = 3
# Thresholds date transitions ahead of their events: 30 days after the 31st ends two months on.
MONTHS_AHEAD = 2
# Each drop stops the lanes for a moment, so only a few follow one another.
DROPS_AT_ONCE = 5
# The log must reach further back than whatever Kafka may still hand over, and then a duplicate window: else
# events that merely waited would be refused.
LEAST_KEPT = DUPLICATE_WINDOW + timedelta(milliseconds=topics.EVENTS.retention_ms or 0) + DAY


class LogBusy(RetryableError):
    """The lanes did not pause for long enough to take a day out of the log."""


class LogShelf(Protocol):
    """The event log and the history as rows of partitions. Every method may raise StoreUnavailable."""

    async def ensure(self, *, days: Collection[date], months: Collection[date]) -> None:
        """Make those partitions that are not there."""
        ...

    async def oldest_day(self) -> date | None:
        """Return the first day that the log has a partition of."""
        ...

    async def horizon(self) -> date | None:
        """Return the first day of which the log promises to hold everything; None: of any."""
        ...

    async def folded_until(self) -> datetime | None:
        """Return up to when every lane has folded all that was received; None: one has not begun."""
        ...

    async def raise_horizon(self, day: date) -> None:
        """Promise no more than what was received from this day on."""
        ...

    async def drop_oldest(self) -> str | None:
        """Drop the oldest day before the horizon and return its partition's name.

        None: there is none, or the horizon was raised too short a time ago. Raises LogBusy.
        """
        ...


@dataclass(frozen=True, slots=True)
class Shortened:
    """The partitions that were dropped; whether another had to be put off."""

    dropped: Collection[str] = ()
    put_off: bool = False


async def keep_log(shelf: LogShelf, *, now: datetime, keep_for: timedelta | None) -> Shortened:
    """Make room for what comes next, and drop what is older than `keep_for` (None: nothing).

    What lies before the horizon goes in any case: an operator may have raised it.
    """
    await shelf.ensure(days=days_ahead(now), months=months_ahead(now))
    shortened = await _drop(shelf)
    if keep_for is not None and not shortened.put_off:
        await _raise_horizon(shelf, now=now, keep_for=keep_for)
    return shortened


def days_ahead(now: datetime) -> list[date]:
    """Return today and the days for which there must be room already."""
    return [(now + number * DAY).date() for number in range(DAYS_AHEAD + 1)]


def months_ahead(now: datetime) -> list[date]:
    """Return the first days of this month and of those for which there must be room already."""
    months = [now.date().replace(day=1)]
    for _ in range(MONTHS_AHEAD):
        months.append((months[-1] + 31 * DAY).replace(day=1))
    return months


def first_day_kept(
    *, now: datetime, folded_until: datetime | None, keep_for: timedelta
) -> date | None:
    """Return the first day to keep; None: all of them.

    Counted from what is folded: while events wait in Kafka, their days and windows stay.
    """
    if folded_until is None:
        return None
    try:
        return (min(now, folded_until) - keep_for).date()
    except OverflowError:  # longer ago than there is time
        return None


async def _drop(shelf: LogShelf) -> Shortened:
    dropped: list[str] = []
    try:
        while len(dropped) < DROPS_AT_ONCE and (name := await shelf.drop_oldest()):
            dropped.append(name)
    except LogBusy:
        return Shortened(dropped, put_off=True)
    return Shortened(dropped)


async def _raise_horizon(shelf: LogShelf, *, now: datetime, keep_for: timedelta) -> None:
    """Raise the horizon if a day may go. One that was raised and not reached yet stays as it is:

    raised again and again, as where product time is driven fast, it would never be old enough.
    """
    oldest, horizon = await shelf.oldest_day(), await shelf.horizon()
    first = first_day_kept(now=now, folded_until=await shelf.folded_until(), keep_for=keep_for)
    if oldest is None or first is None or oldest >= first:
        return
    if horizon is None or horizon <= oldest:
        await shelf.raise_horizon(first)
