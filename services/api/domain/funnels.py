"""Funnels as they are asked for and shown. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

MOST_FUNNELS = 50
FEWEST_STEPS, MOST_STEPS = 2, 10
MOST_CONDITIONS = 3
SHORTEST_WINDOW_S, LONGEST_WINDOW_S = 60, 90 * 86_400
MOST_DAYS = 400  # of one answer


@dataclass(frozen=True, slots=True)
class FunnelDefinition:
    """What somebody wants to be counted; `steps` as they are stored."""

    name: str
    steps: Sequence[dict[str, Any]]
    window_s: int


@dataclass(frozen=True, slots=True)
class FunnelView:
    """A funnel as it stands. `pages`: of the event log, those counted and all; None: not known yet."""

    funnel_id: int
    name: str
    steps: Sequence[dict[str, Any]]
    window_s: int
    state: str
    created_at: datetime
    held_since: datetime | None
    pages: tuple[int, int] | None
    truncated_users: int


@dataclass(frozen=True, slots=True)
class FunnelDay:
    """How many users who entered on a day made at least the first step, the first two, and so on."""

    day: date
    users: Sequence[int]


def percent(pages: tuple[int, int] | None, *, live: bool) -> float:
    """Return how much of the event log is counted. 100 only when the funnel is live."""
    if live:
        return 100.0
    done, total = pages or (0, 0)
    return min(99.9, round(100 * done / total, 1)) if total else 0.0


def share(users: int, of: int) -> float | None:
    """Return a rate; None where nobody could."""
    return round(users / of, 6) if of else None


def total(days: Sequence[FunnelDay], *, steps: int) -> list[int]:
    """Return the sums over the days: a user counts once for each day on which they entered."""
    return [sum(day.users[step] for day in days) for step in range(steps)]
