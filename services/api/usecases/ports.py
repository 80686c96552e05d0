"""What the routes ask of the database."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import date, datetime
from typing import Protocol
from uuid import UUID

from services.api.domain.freshness import Progress
from services.api.domain.funnels import FunnelDay, FunnelView
from services.api.domain.views import (
    AlertView,
    DeadLetterView,
    PartitionView,
    TransitionView,
    UserView,
    WorkerView,
)
from services.api.usecases.change_policies import PolicyShelf
from services.api.usecases.counter_ports import Counters
from services.api.usecases.identity_ports import IdentityBook

At = tuple[datetime, str]  # a place in a list by time: the instant and the id


@dataclass(frozen=True, slots=True)
class UserFilter:
    lifecycle: Sequence[str] = ()
    prefix: str | None = None
    seen_from: datetime | None = None
    seen_to: datetime | None = None


@dataclass(frozen=True, slots=True)
class TransitionFilter:
    user_id: str | None = None
    kind: str | None = None
    before: str | None = None
    after: str | None = None
    at_from: datetime | None = None
    at_to: datetime | None = None
    retracted: bool | None = False  # None: both those that stand and those that do not


@dataclass(frozen=True, slots=True)
class AlertFilter:
    state: str | None = None
    kind: str | None = None
    user_id: str | None = None
    fired_from: datetime | None = None
    fired_to: datetime | None = None


@dataclass(frozen=True, slots=True)
class DeadLetterFilter:
    code: str | None = None
    origin: str | None = None
    source: str | None = None
    refused_from: datetime | None = None
    refused_to: datetime | None = None


class Snapshot(Protocol):
    """One moment of the database: everything read from it belongs together.

    Lists come newest first (users: by id) and begin behind the given place. Every method may raise
    StoreUnavailable.
    """

    @property
    def counters(self) -> Counters:
        """What is counted, in the same snapshot."""
        ...

    @property
    def identity(self) -> IdentityBook:
        """Whose each id is, in the same snapshot."""
        ...

    @property
    def policy_shelf(self) -> PolicyShelf:
        """The policies and the jobs, in the same snapshot."""
        ...

    async def progress(self) -> Sequence[Progress]:
        """Return how far the segmenter's partitions are folded."""
        ...

    async def user(self, user_id: str) -> UserView | None: ...

    async def users(
        self, wanted: UserFilter, *, behind: str | None, limit: int
    ) -> Sequence[UserView]: ...

    async def lifecycle_counts(self) -> Mapping[str, int]:
        """Return how many users stand in each lifecycle; those without users may be missing."""
        ...

    async def transitions(
        self, wanted: TransitionFilter, *, behind: At | None, limit: int, oldest_first: bool
    ) -> Sequence[TransitionView]: ...

    async def alert(self, alert_id: UUID) -> AlertView | None: ...

    async def alerts(
        self, wanted: AlertFilter, *, behind: At | None, limit: int
    ) -> Sequence[AlertView]: ...

    async def dead_letters(
        self, wanted: DeadLetterFilter, *, behind: At | None, limit: int
    ) -> tuple[Sequence[DeadLetterView], bool]:
        """Return a page, and whether it ends before the limit because its letters are large."""
        ...

    async def segmenter_workers(self) -> Sequence[WorkerView]:
        """Return the segmenter's processes by name, those that died of late too."""
        ...

    async def segmenter_partitions(self) -> Sequence[PartitionView]:
        """Return the partitions of the events topic by number."""
        ...

    async def funnels(self) -> Sequence[FunnelView]:
        """Return the funnels by name, without those that are being deleted."""
        ...

    async def funnel(self, funnel_id: int) -> FunnelView | None: ...

    async def latest_funnel_day(self, funnel_id: int) -> date | None:
        """Return the last day on which anybody entered the funnel."""
        ...

    async def funnel_days(
        self, shown: FunnelView, *, first: date | None, end: date | None
    ) -> Sequence[FunnelDay]:
        """Return the days on which anybody entered the funnel, in order, from `first` and before `end`."""
        ...


class Snapshots(Protocol):
    """Gives out snapshots, a bounded number at a time."""

    def open(self) -> AbstractAsyncContextManager[Snapshot]:
        """Raises StoreUnavailable when none can be had in time."""
        ...
