"""The counters as they are defined, recounted from everything that users did: slow, and easy to believe."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from functools import cache
from typing import NamedTuple
from zoneinfo import ZoneInfo

from services.segmenter.domain.lifecycle import Step
from services.segmenter.domain.origin import Origin


class Did(NamedTuple):
    """That a user was active at an instant, and the origin that the event names."""

    user_id: str
    at: datetime
    origin: Origin = Origin()


@dataclass(slots=True)
class Counted:
    """Every cell that is not zero, keyed as stored: dates as dates, instants in UTC."""

    users: Counter[tuple[str, str, date, str]] = field(default_factory=Counter)
    new_users: Counter[tuple[str, str, date, str]] = field(default_factory=Counter)
    retention: Counter[tuple[str, str, date, str, int]] = field(default_factory=Counter)
    flows: Counter[tuple[str, datetime, str, str, str]] = field(default_factory=Counter)
    months: Counter[tuple[str, date, str, str, str]] = field(default_factory=Counter)


def recount(
    deeds: Iterable[Did], zone: ZoneInfo, steps: Mapping[str, Sequence[Step]] | None = None
) -> Counted:
    """Count users one by one, each by the set of days on which they did something.

    `steps`: the transitions of each user that stand.
    """
    counted = Counted()
    for user_id, of_user in _by_user(deeds).items():
        origin = first_origin(of_user)
        days = {each.at.astimezone(zone).date() for each in of_user}
        for dimension, value in (
            ("all", ""), ("channel", origin.channel), ("platform", origin.platform)
        ):  # fmt: skip
            _count_days(counted, days, dimension, value)
            for step in (steps or {}).get(user_id, ()):
                before, after = step.before.value if step.before else "", step.after.value
                hour = clock_hour(step.at, zone)
                counted.flows[dimension, hour, value, before, after] += 1
                month = date(hour.year, hour.month, 1)
                counted.months[dimension, month, value, before, after] += 1
    return counted


def first_origin(deeds: Sequence[Did]) -> Origin:
    """Return the origin of the earliest event; of several at one instant the smallest."""
    return min((each.at, each.origin.channel == "other", each.origin) for each in deeds)[2]


@cache
def clock_hour(at: datetime, zone: ZoneInfo) -> datetime:
    """Walk back to where the local clock showed a full hour, or was changed.

    That is a thousand steps, and the same instants are asked for again and again.
    """
    offset = at.astimezone(zone).utcoffset()
    seconds_back = 0
    found = at.replace(microsecond=0)
    while True:
        local = found.astimezone(zone)
        just_before = (found - timedelta(seconds=1)).astimezone(zone)
        if (local.minute, local.second) == (0, 0) or just_before.utcoffset() != offset:
            return found.astimezone(UTC)
        found -= timedelta(seconds=1)
        seconds_back += 1
        assert seconds_back <= 3600


def _count_days(counted: Counted, days: set[date], dimension: str, value: str) -> None:
    first = min(days)
    for period in ("day", "week", "month"):
        starts = {_start(period, day) for day in days}
        cohort = _start(period, first)
        counted.new_users[period, dimension, cohort, value] += 1
        for start in starts:
            counted.users[period, dimension, start, value] += 1
            if period == "day" and (start - cohort).days <= 400:
                counted.retention[period, dimension, cohort, value, (start - cohort).days] += 1
            if period == "week" and (start - cohort).days <= 57 * 7:
                age = (start - cohort).days // 7
                counted.retention[period, dimension, cohort, value, age] += 1


def _start(period: str, day: date) -> date:
    if period == "week":
        return day - timedelta(days=day.isoweekday() - 1)
    return day.replace(day=1) if period == "month" else day


def _by_user(deeds: Iterable[Did]) -> dict[str, list[Did]]:
    users: dict[str, list[Did]] = {}
    for each in deeds:
        users.setdefault(each.user_id, []).append(each)
    return users
