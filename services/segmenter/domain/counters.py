"""What a user adds to the counts: active users, retention, and flows between lifecycles.

Each user's share of the cells is a pure function of their active days, origin and standing steps. A change
adds the share after it less the share before it, so that order, repetition and correction are all the same.
Cells are kept by origin, of which users have few, and spread to what is stored at the end of a batch.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import NamedTuple, TypeVar

from services.segmenter.domain.active_days import ActiveDays
from services.segmenter.domain.calendar import Calendar
from services.segmenter.domain.lifecycle import Step
from services.segmenter.domain.origin import Origin

DAY, WEEK, MONTH = "day", "week", "month"
OLDEST_DAY = 400  # ages of retention: what lies beyond is not counted
OLDEST_WEEK = 57

ActiveKey = tuple[str, int, Origin]  # period, its first day
RetentionKey = tuple[str, int, int, Origin]  # period, cohort, age
FlowKey = tuple[datetime, str, str, Origin]  # hour, before ("" where there was nothing), after


class Standing(NamedTuple):
    """What of a user counts for activity."""

    days: ActiveDays
    origin: Origin


@dataclass(slots=True)
class Cells:
    """What is to be added to the counts, from any number of users."""

    active: dict[ActiveKey, int] = field(default_factory=lambda: defaultdict(int))
    begun: dict[ActiveKey, int] = field(default_factory=lambda: defaultdict(int))
    retained: dict[RetentionKey, int] = field(default_factory=lambda: defaultdict(int))
    flows: dict[FlowKey, int] = field(default_factory=lambda: defaultdict(int))

    def __bool__(self) -> bool:
        return bool(self.active or self.begun or self.retained or self.flows)

    def merge(self, other: "Cells") -> None:
        """Add the other cells to these."""
        for active, users in other.active.items():
            self.active[active] += users
        for begun, users in other.begun.items():
            self.begun[begun] += users
        for retained, users in other.retained.items():
            self.retained[retained] += users
        for flow, transitions in other.flows.items():
            self.flows[flow] += transitions


def activity_delta(
    before: Standing | None,
    after: Standing | None,
    calendar: Calendar,
    into: Cells | None = None,
) -> Cells:
    """Return what changes when a user was `before` and is `after`; None: there is no such user.

    Added to the cells `into`, where they are given.
    """
    cells = Cells() if into is None else into
    if before is None or after is None or not _is_extended(before, after):
        if before is not None and before != after:
            count_standing(before, calendar, cells, users=-1)
        if after is not None and before != after:
            count_standing(after, calendar, cells, users=1)
    elif before.days.bits != after.days.bits:
        _extend(cells, before.days, after, calendar)
    return cells


def count_standing(standing: Standing, calendar: Calendar, into: Cells, *, users: int) -> None:
    """Count all that so many users contribute who stand alike, or take it back where they are negative."""
    days, origin = standing
    first, first_week = days.first, calendar.week_of(days.first)
    active, retained = into.active, into.retained
    weeks: set[int] = set()
    months: set[int] = set()
    for day in days:
        active[DAY, day, origin] += users
        if day - first <= OLDEST_DAY:
            retained[DAY, first, day - first, origin] += users
        weeks.add(calendar.week_of(day))
        months.add(calendar.month_of(day))
    for week in weeks:
        active[WEEK, week, origin] += users
        age = (week - first_week) // 7
        if age <= OLDEST_WEEK:
            retained[WEEK, first_week, age, origin] += users
    for month in months:
        active[MONTH, month, origin] += users
    for period, start in ((DAY, first), (WEEK, first_week), (MONTH, calendar.month_of(first))):
        into.begun[period, start, origin] += users


def flow_delta(
    retracted: Iterable[Step],
    written: Iterable[Step],
    origin: Origin,
    calendar: Calendar,
    into: Cells | None = None,
) -> Cells:
    """Return what changes when these steps of a user no longer stand and those do.

    Where the origin changes all steps change theirs: those that stood are retracted from the old origin by
    one call, and those that stand now are written to the new one by another.
    """
    cells = Cells() if into is None else into
    for steps, sign in ((retracted, -1), (written, 1)):
        for step in steps:
            before = "" if step.before is None else step.before._value_
            key = (calendar.hour_of(step.at), before, step.after._value_, origin)
            cells.flows[key] += sign
    return cells


def _is_extended(before: Standing, after: Standing) -> bool:
    """Say whether days only were added after the first: what was counted is still right."""
    old, new = before.days, after.days
    return old.first == new.first and not old.bits & ~new.bits and before.origin == after.origin


def _extend(cells: Cells, counted: ActiveDays, after: Standing, calendar: Calendar) -> None:
    """Count the days that were not counted yet, and the weeks and months in which they are the first."""
    first, bits, origin = counted.first, counted.bits, after.origin
    first_week = calendar.week_of(first)
    active, retained = cells.active, cells.retained
    added = after.days.bits & ~bits
    while added:
        lowest = added & -added
        age = lowest.bit_length() - 1
        day = first + age
        active[DAY, day, origin] += 1
        if age <= OLDEST_DAY:
            retained[DAY, first, age, origin] += 1
        week = calendar.week_of(day)
        if not _any(bits, week - first, 7):
            active[WEEK, week, origin] += 1
            weeks = (week - first_week) // 7
            if weeks <= OLDEST_WEEK:
                retained[WEEK, first_week, weeks, origin] += 1
        month = calendar.month_of(day)
        if not _any(bits, month - first, calendar.month_of(month + 31) - month):
            active[MONTH, month, origin] += 1
        bits |= lowest
        added ^= lowest


def _any(bits: int, low: int, length: int) -> bool:
    """Say whether any of so many bits from `low` on is set; there are none below 0."""
    if low < 0:
        length += low
        low = 0
    return bool(bits >> low & (1 << length) - 1) if length > 0 else False


# What is stored: every cell once for all users, once by channel and once by platform.
ActiveCell = tuple[str, str, int, str]  # period, dimension, first day, value
RetentionCell = tuple[str, str, int, str, int]  # period, dimension, cohort, value, age
FlowCell = tuple[str, datetime, str, str, str]  # dimension, hour, value, before, after
MonthCell = tuple[str, date, str, str, str]  # dimension, month, value, before, after

_Key = TypeVar("_Key")


def active_cells(cells: Cells) -> dict[ActiveCell, tuple[int, int]]:
    """Return what to add to users and new users of each cell, without those that stay as they are."""
    users: dict[ActiveCell, int] = defaultdict(int)
    new: dict[ActiveCell, int] = defaultdict(int)
    for counts, found in ((users, cells.active), (new, cells.begun)):
        for (period, start, origin), count in found.items():
            for dimension, value in _dimensions(origin) if count else ():
                counts[period, dimension, start, value] += count
    keys = users.keys() | new.keys()
    sums = {key: (users.get(key, 0), new.get(key, 0)) for key in keys}
    return {key: both for key, both in sums.items() if both != (0, 0)}


def retention_cells(cells: Cells) -> dict[RetentionCell, int]:
    """Return what to add to the users of each cell."""
    sums: dict[RetentionCell, int] = defaultdict(int)
    for (period, cohort, age, origin), count in cells.retained.items():
        for dimension, value in _dimensions(origin) if count else ():
            sums[period, dimension, cohort, value, age] += count
    return _changed(sums)


def flow_cells(cells: Cells) -> dict[FlowCell, int]:
    """Return what to add to the transitions of each hour."""
    sums: dict[FlowCell, int] = defaultdict(int)
    for (hour, before, after, origin), count in cells.flows.items():
        for dimension, value in _dimensions(origin) if count else ():
            sums[dimension, hour, value, before, after] += count
    return _changed(sums)


def month_cells(flows: Mapping[FlowCell, int]) -> dict[MonthCell, int]:
    """Return the same by months of UTC, in which hours begin: for sums over all that came before."""
    sums: dict[MonthCell, int] = defaultdict(int)
    for (dimension, hour, value, before, after), count in flows.items():
        sums[dimension, hour.date().replace(day=1), value, before, after] += count
    return _changed(sums)


def _dimensions(origin: Origin) -> tuple[tuple[str, str], ...]:
    return ("all", ""), ("channel", origin.channel), ("platform", origin.platform)


def _changed(sums: Mapping[_Key, int]) -> dict[_Key, int]:
    return {key: count for key, count in sums.items() if count}
