"""What a rebuild needs of the database: one snapshot to read from, and a shadow to write to."""

from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple, Protocol

from services.segmenter.domain.counters import Cells
from services.segmenter.domain.lifecycle import Step
from services.segmenter.domain.origin import Origin
from services.segmenter.domain.rebuilding import Row, Times
from services.segmenter.domain.replay import Deed, Rebuilt


class First(NamedTuple):
    """Where the payload of a user's first event lies. `user_id` is the one that the event itself names."""

    user_id: str
    at: datetime
    received_at: datetime


@dataclass(frozen=True, slots=True)
class CellDifference:
    """A cell that is stored otherwise than the log says: by columns, and by the names of what is counted.

    `drift` is by how much it differs from what the stored users themselves contribute.
    """

    table: str
    cell: Mapping[str, object]
    stored: Mapping[str, int]
    rebuilt: Mapping[str, int]
    drift: Mapping[str, int]

    @property
    def differs(self) -> bool:
        return self.stored != self.rebuilt

    @property
    def drifted(self) -> bool:
        return any(self.drift.values())


class Snapshot(Protocol):
    """The live tables as of one instant. Every method may raise StoreUnavailable.

    `user_ids` where given: only those users.
    """

    async def times(self) -> Times: ...

    async def zone(self) -> str | None:
        """Return the zone whose days are counted; None: none are yet."""
        ...

    async def users(self) -> int:
        """Return how many rows there are."""
        ...

    async def rows(
        self, behind: str, *, limit: int, user_ids: Collection[str] | None = None
    ) -> Sequence[Row]:
        """Return the next rows of users in the order of their ids."""
        ...

    def deeds(
        self, user_ids: Collection[str] | None = None
    ) -> AsyncIterator[tuple[str, Sequence[Deed]]]:
        """Yield all active events in the order of the ids that they name, a bounded number at a time."""
        ...

    async def origins(self, firsts: Collection[First]) -> Mapping[First, Origin]:
        """Return what users are counted under by the events; of several at one place, the least."""
        ...

    async def standing(
        self, behind: str, *, until: str | None, user_ids: Collection[str] | None = None
    ) -> Mapping[str, Sequence[Step]]:
        """Return the transitions that stand, of users behind the one up to the other; None: up to the last."""
        ...

    async def claimed(
        self, behind: str, *, until: str | None, user_ids: Collection[str] | None = None
    ) -> Collection[str]:
        """Return the ids in a range that a claim which holds is about: of either side of it."""
        ...

    async def homes(self, user_ids: Collection[str]) -> Mapping[str, str]:
        """Return id → whose it is, of those ids that are another user's by the claims that hold."""
        ...

    async def other_ids(self, user_ids: Collection[str]) -> Mapping[str, Sequence[str]]:
        """Return the ids that are theirs by the claims that hold, of those users who have any."""
        ...


class Shadow(Protocol):
    """The tables of the schema `rebuild`. Every method may raise StoreUnavailable."""

    async def begin(self) -> bool:
        """Make the tables anew; False: another rebuild is at it."""
        ...

    async def add_users(self, rebuilt: Sequence[Rebuilt], *, now: datetime) -> None: ...

    async def count(self, right: Cells, beyond: Cells) -> None:
        """Add what the log says, and what stored users say beyond it."""
        ...

    async def note_differing(self, user_ids: Sequence[str]) -> None: ...

    async def differing(self, *, behind: str, limit: int) -> Sequence[str]:
        """Return those who were noted, in the order of their ids."""
        ...

    def cells(self) -> AsyncIterator[Sequence[CellDifference]]:
        """Yield the cells that differ, of all counters, some at a time."""
        ...

    async def correct(self, cells: Sequence[CellDifference], *, zone: str) -> None:
        """Take the drift out of the live cells, in a transaction, while the days of this zone are counted.

        Raises ZoneMoved besides.
        """
        ...
