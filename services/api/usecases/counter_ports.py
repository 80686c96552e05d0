"""What the routes of counted numbers ask of a snapshot."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Protocol
from zoneinfo import ZoneInfo

from services.api.domain.counts import Dimension, Flow, Group
from services.api.domain.periods import Period

Place = str | None  # behind which value a page of groups begins


@dataclass(frozen=True, slots=True)
class Difference:
    """Where a recount did not find what is stored."""

    kind: str
    subject: str
    field: str
    stored: str | None
    recounted: str | None


@dataclass(frozen=True, slots=True)
class Reconciliation:
    """One run of recounting a sample."""

    reconciliation_id: int
    at: datetime
    users_checked: int
    users_skipped: int
    users_differing: int
    cells_checked: int
    cells_differing: int
    differences: Sequence[Difference]


class Counters(Protocol):
    """Counted numbers of one moment. Every method may raise StoreUnavailable.

    Days are those of `zone`; ranges include their first day and not their end. Numbers that are 0 may be
    missing. `…_values` return values that have numbers in the range, by name, from behind a place on.
    """

    async def zone(self) -> ZoneInfo:
        """Return the time zone whose days are counted; UTC where nothing was counted yet."""
        ...

    async def activity(
        self, period: Period, group: Group, *, first: date, end: date
    ) -> Mapping[tuple[str, date], tuple[int, int]]:
        """Return (value, start) → users and new users of the periods that begin in the range."""
        ...

    async def activity_values(
        self, period: Period, by: Dimension, *, first: date, end: date, behind: Place, limit: int
    ) -> Sequence[str]: ...

    async def retention(
        self, period: Period, group: Group, *, first: date, end: date, oldest: int
    ) -> Mapping[tuple[str, date], Mapping[int, int]]:
        """Return (value, cohort) → age → users of the cohorts that begin in the range."""
        ...

    async def retention_values(
        self, period: Period, by: Dimension, *, first: date, end: date, behind: Place, limit: int
    ) -> Sequence[str]: ...

    async def flows(
        self, group: Group, begins: Sequence[datetime], *, end: datetime
    ) -> Mapping[str, Mapping[int, Sequence[Flow]]]:
        """Return value → slot → what flowed in it; a slot lasts until the next one begins, or the end."""
        ...

    async def flows_before(self, group: Group, begin: datetime) -> Mapping[str, Sequence[Flow]]:
        """Return value → the sums of all that flowed before an instant."""
        ...

    async def flow_values(
        self, by: Dimension, *, end: datetime, behind: Place, limit: int
    ) -> Sequence[str]: ...

    async def reconciliations(
        self, *, behind: int | None, limit: int, differing: bool | None
    ) -> Sequence[Reconciliation]:
        """Return a page of runs, the newest first."""
        ...
