"""What showing and changing policies and jobs asks of the database."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol
from uuid import UUID

from services.api.domain.policies import JobView, PolicyView
from shared.thresholds import Thresholds


@dataclass(frozen=True, slots=True)
class JobFilter:
    kind: str | None = None
    state: str | None = None


class PolicyShelf(Protocol):
    """Policies and jobs of one moment. Every method may raise StoreUnavailable."""

    async def policies(self) -> Sequence[PolicyView]:
        """Return every policy, the newest version first."""
        ...

    async def job(self, job_id: UUID) -> JobView | None: ...

    async def jobs(
        self, wanted: JobFilter, *, behind: tuple[datetime, str] | None, limit: int
    ) -> Sequence[JobView]:
        """Return a page, newest first."""
        ...


@dataclass(frozen=True, slots=True)
class Doing:
    """Who does something, when (product time), and why."""

    by: str
    now: datetime
    note: str = ""


class PolicyChanges(Protocol):
    """Changes policies, each in a transaction of its own. Every method may raise StoreUnavailable."""

    async def draft(self, thresholds: Thresholds, doing: Doing) -> PolicyView:
        """Write a draft. Raises PolicyUnchanged."""
        ...

    async def preview(self, version: int, doing: Doing, *, at: datetime | None) -> JobView:
        """Have the policy previewed as if activated at an instant; None: now.

        Raises UnknownPolicy, AlreadyActivated, PolicyOutdated, PolicyUnchanged, BadInstant.
        """
        ...

    async def activate(
        self, version: int, doing: Doing, *, force: bool
    ) -> tuple[PolicyView, JobView]:
        """Activate a draft, and have it applied to every user.

        Raises what `preview` raises but BadInstant, and NotPreviewed unless forced: a preview must have compared
        it with the active policy at about this time.
        """
        ...

    async def roll_back(self, version: int, doing: Doing) -> tuple[PolicyView, JobView]:
        """Activate the thresholds of a policy that held before, as a new version.

        Raises UnknownPolicy, NeverActivated, PolicyUnchanged.
        """
        ...
