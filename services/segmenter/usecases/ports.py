"""What folding needs of the world: one store, on the lane's own transaction."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import NamedTuple, Protocol
from uuid import UUID

import msgspec

from services.segmenter.domain.channels import Channels
from services.segmenter.domain.counters import Cells
from services.segmenter.domain.lifecycle import Step
from services.segmenter.domain.policy import Policies
from services.segmenter.domain.profile import Profile
from services.segmenter.domain.spans import Logged
from services.segmenter.domain.transition import Transition
from shared.contracts.events import EventEnvelope
from shared.errors import RetryableError

EventKey = tuple[str, str]  # source, event id


class NoRoomYet(RetryableError):
    """A table lacks the partition that a row belongs to: make it, and fold the batch again.

    `months` are those that transitions needed; events need the days on which they were received.
    """

    def __init__(self, why: str, *, months: Collection[date] = ()) -> None:
        super().__init__(why)
        self.months = frozenset(months)


class ZoneMoved(RetryableError):
    """The days that are counted are no longer those of this process: it must not count any more."""


def check_zone(mine: str, *, stored: str | None) -> None:
    """Raise ZoneMoved where days of another zone are counted: it may have been changed while this process stood still.

    None: no zone is settled yet.
    """
    if stored not in (None, mine):
        raise ZoneMoved(f"the days that are counted are those of {stored} now")


class UsersMoved(RetryableError):
    """A user was added by another lane while this transaction met them for the first time: begin it anew.

    A user's events may come by two partitions.
    """


class Folding(msgspec.Struct, frozen=True, gc=False):
    """An event with its place in the log.

    `is_plain`: no text of it, nor of its payload, holds a backslash or a control character.
    """

    event: EventEnvelope
    offset: int
    is_plain: bool = False

    @property
    def key(self) -> EventKey:
        return self.event.source, self.event.event_id


@dataclass(frozen=True, slots=True)
class Retraction:
    """A written transition that no longer holds; `because`: where it is another reason than the others'."""

    user_id: str
    step: Step
    because: str | None = None


class DuePlace(NamedTuple):
    """A place among those who are due, in the order of their deadlines and ids."""

    at: datetime
    user_id: str


@dataclass(frozen=True, slots=True)
class Due:
    """Users whose deadline is due, locked, out of the `found` that looked due before the locks.

    `more`: maybe there are others, behind the place `last`.
    """

    profiles: Sequence[Profile]
    found: int
    more: bool = False
    last: DuePlace | None = None


@dataclass(frozen=True, slots=True)
class NoUser:
    """A row that is no user: its id is another user's, or nobody's (''), who has come by these partitions."""

    merged_into: str
    revision: int
    part: int
    also_parts: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Locked:
    """Rows that are locked: users, and those that are none, by their ids."""

    profiles: dict[str, Profile] = field(default_factory=dict)
    others: dict[str, NoUser] = field(default_factory=dict)

    def ids(self) -> set[str]:
        return self.profiles.keys() | self.others.keys()

    def root_of(self, user_id: str) -> str:
        """Return the id of the user whose the id is; itself where nothing else is known."""
        other = self.others.get(user_id)
        return user_id if other is None else other.merged_into or user_id

    def and_also(self, later: "Locked") -> "Locked":
        """Return both, of which `later` knows better."""
        return Locked(
            {each: profile for each, profile in self.profiles.items() if each not in later.others}
            | later.profiles,
            {each: other for each, other in self.others.items() if each not in later.profiles}
            | later.others,
        )


@dataclass(frozen=True, slots=True)
class Rules:
    """What holds in a transaction: every policy ever activated, the versions of the funnels and the channels, and the
    days' zone.

    `zone` None: none is settled yet.
    """

    policies: Policies
    funnels: UUID
    channels: UUID
    zone: str | None = None


class Store(Protocol):
    """Users, their history and the event log, as one transaction sees them.

    Every method may raise StoreUnavailable; those that write may raise RejectedByStore, and
    `add_events` and `add_transitions` NoRoomYet.
    """

    async def rules(self) -> Rules:
        """Return what holds now."""
        ...

    async def policies(self) -> Policies:
        """Return every policy that was ever activated."""
        ...

    async def known(self, ids: Mapping[str, Collection[str]], *, since: datetime) -> set[EventKey]:
        """Return which of each source's ids the log holds among what was received since that instant."""
        ...

    async def lock(self, user_ids: Collection[str]) -> Locked:
        """Return those rows that exist, and the users whose these ids are, locked in the order of their ids."""
        ...

    async def lock_due(
        self,
        part: int,
        *,
        until: datetime,
        limit: int,
        besides: Collection[int] = (),
        behind: DuePlace | None = None,
    ) -> Due:
        """Return the users of a partition whose deadline is due, the earliest `limit`, locked.

        Without those whose ids also come by one of the partitions `besides`, and those up to `behind`. Fewer
        where they have very many spans: to reckon with these takes its time.

        Whoever another lane has locked or just changed is left out, without waiting: who is due
        still is due next time, too.
        """
        ...

    async def logged(self, user_ids: Collection[str], *, grain: timedelta) -> dict[str, Logged]:
        """Return the users' spans as fine as that, from the event log; all of what it still holds."""
        ...

    async def begin_users(self, profiles: Sequence[Profile], *, now: datetime) -> None:
        """Add users that did not exist when this transaction asked. Raises UsersMoved where one does by now."""
        ...

    async def add_users(self, profiles: Sequence[Profile], *, now: datetime) -> set[str]:
        """Add the users that do not exist; return which were added."""
        ...

    async def save_users(self, profiles: Sequence[Profile], *, now: datetime) -> None:
        """Write the users, who are locked, as they are now."""
        ...

    async def extend_users(self, profiles: Sequence[Profile], *, now: datetime) -> None:
        """Write the locked users of whom only `last_seen`, the deadline and the count moved on."""
        ...

    async def age_users(self, profiles: Sequence[Profile], *, now: datetime) -> None:
        """Write the locked users of whom only the state and the deadline moved on, if anything."""
        ...

    async def count(self, cells: Cells, *, part: int | None) -> None:
        """Add to the counts what a partition's lane counted, or a job (None).

        Late in the transaction: from then on others may wait for these rows.
        """
        ...

    async def add_events(self, events: Sequence[Folding], *, part: int) -> None:
        """Append to the event log."""
        ...

    async def add_transitions(self, transitions: Sequence[Transition]) -> None:
        """Append to the history."""
        ...

    async def retract(
        self, retractions: Sequence[Retraction], *, now: datetime, because: str
    ) -> list[Transition]:
        """Mark the transitions as retracted and return them as they were written."""
        ...


class Room(Protocol):
    """Makes room for what is new, in the partitioned tables and among the channels, outside the lanes' transactions."""

    async def policies(self) -> Policies:
        """Return the policies, maybe without the newest."""
        ...

    async def horizon(self) -> datetime | None:
        """Return since when the event log holds all that was folded, at most a minute old; None: always.

        It only ever rises.
        """
        ...

    async def ensure(self, *, days: Collection[date], months: Collection[date]) -> None:
        """Make partitions for events received on the days and transitions dated in the months.

        Raises NoRoomYet where a day lies before a horizon that was not known yet.
        """
        ...

    async def channels(self, version: UUID) -> Channels:
        """Return the channels that are told apart, as of that version or a later one."""
        ...

    async def admit(self, channels: Collection[str]) -> Channels:
        """Have it decided, for good and for all, which of them are told apart; return those that are now."""
        ...

    def forget(self) -> None:
        """Look anew next time."""
        ...
