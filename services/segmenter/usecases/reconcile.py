"""Recount a few users and cells from the event log, and keep what differs from what is stored."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from services.segmenter.domain.calendar import Calendar
from services.segmenter.domain.policy import Policies
from services.segmenter.domain.reconciling import (
    Activity,
    Counts,
    Difference,
    UserRecord,
    count_differences,
    differences,
    recount,
)

MOST_DIFFERENCES = 100  # of one run: where more differ, these show it


@dataclass(frozen=True, slots=True)
class Sampled:
    """A user as stored, and all that they did; None: the log no longer holds everything of them."""

    stored: UserRecord
    activity: Activity | None


@dataclass(frozen=True, slots=True)
class RecountedCells:
    """Cells of one table as stored and as recounted from users and transitions."""

    kind: str
    field: str
    stored: Counts
    recounted: Counts


class Evidence(Protocol):
    """One moment of the database: users, history, counters and the event log, which belong together.

    Every method may raise StoreUnavailable.
    """

    async def policies(self) -> Policies:
        """Return every policy that was ever activated."""
        ...

    async def users(self, number: int) -> Sequence[Sampled]:
        """Return so many users at random, or all where there are fewer."""
        ...

    async def cells(self, calendar: Calendar) -> Sequence[RecountedCells]:
        """Return cells at random: of a day, a week and a month, of cohorts at an age, of flows by hour and month."""
        ...


@dataclass(frozen=True, slots=True)
class Report:
    """What a run came to."""

    at: datetime
    users_checked: int
    users_skipped: int
    users_differing: int
    cells_checked: int
    cells_differing: int
    differences: Sequence[Difference]


async def reconcile(evidence: Evidence, *, users: int, calendar: Calendar, now: datetime) -> Report:
    """Recount so many users, and a few cells."""
    policies = await evidence.policies()
    sampled = await evidence.users(users)
    found = _of_users(sampled, policies, calendar)
    cells_checked, cells_differing = 0, list[Difference]()
    for each in await evidence.cells(calendar):
        checked, differing = count_differences(each.kind, each.field, each.stored, each.recounted)
        cells_checked += checked
        cells_differing += differing
    skipped = sum(each.activity is None for each in sampled)
    return Report(
        at=now,
        users_checked=len(sampled) - skipped,
        users_skipped=skipped,
        users_differing=len(found),
        cells_checked=cells_checked,
        cells_differing=len(cells_differing),
        differences=[*(each for of_user in found.values() for each in of_user), *cells_differing][
            :MOST_DIFFERENCES
        ],
    )


def _of_users(
    sampled: Sequence[Sampled], policies: Policies, calendar: Calendar
) -> Mapping[str, Sequence[Difference]]:
    found: dict[str, Sequence[Difference]] = {}
    for each in sampled:
        if each.activity is None:
            continue
        recounted = (
            recount(each.stored, each.activity, policies, calendar)
            if each.activity.instants
            else None
        )
        if differing := differences(each.stored, recounted):
            found[each.stored.user_id] = differing
    return found
