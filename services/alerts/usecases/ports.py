"""What the use cases need of the world."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol
from uuid import UUID

from services.alerts.domain.alert import Alert, Change
from services.alerts.domain.delivery import Answer
from services.alerts.domain.notice import Notice
from shared.vocabulary import UserId


class AlertBook(Protocol):
    """The alerts and what has been seen of the transitions, inside one transaction.

    The transaction is the caller's: nothing here commits. Every method raises RejectedByStore when
    the data is refused, and StoreUnavailable when the store does not answer.
    """

    async def unseen(self, changes: Sequence[Change], *, now: datetime) -> list[Change]:
        """Return the changes met for the first time, in order, and remember them all.

        A change is known by its transition and status, whether met earlier or in this very batch.
        """
        ...

    async def retracted(self, transitions: Sequence[UUID]) -> set[UUID]:
        """Return those of the transitions whose retraction has been met."""
        ...

    async def latest(
        self, users: Sequence[UserId], *, besides: Sequence[UUID]
    ) -> dict[UserId, datetime]:
        """Return when each user's lifecycle changed last, as far as it was met and is not retracted.

        Transitions `besides` do not count; users of whom none is left are missing.
        """
        ...

    async def alerts(self, *, firing_of: Sequence[UserId], ids: Sequence[UUID]) -> list[Alert]:
        """Return the firing alerts of these users, and the alerts with these ids in any state."""
        ...

    async def save(self, alerts: Sequence[Alert]) -> None:
        """Store each alert as it now stands, in order. A resolved one is never reopened."""
        ...

    async def intend(self, notices: Sequence[Notice]) -> None:
        """Store the intents to notify, each once, in order.

        A `resolved` notice is dropped unless its alert's `fired` notice on the same channel was
        sent or still may be.
        """
        ...

    async def forget_seen(self, before: datetime, *, limit: int) -> int:
        """Forget at most `limit` changes seen before then, and return how many."""
        ...


@dataclass(frozen=True, slots=True)
class Claimed:
    """A notice leased for one attempt, number `attempt` from 1; `age_s` since it was intended.

    `abandoned` says that people were never told of the alert that this notice says is resolved.
    """

    notification_id: int
    delivery_id: UUID
    body: bytes
    attempt: int
    age_s: float
    abandoned: bool


class NotificationStore(Protocol):
    """The intents to notify and their attempts. Every call is a transaction of its own.

    All times are the database's clock. Every method raises StoreUnavailable.
    """

    async def claim(self, channel: str, *, limit: int, lease_s: float) -> list[Claimed]:
        """Lease notices that are due, oldest first, counting the attempt: no other caller gets
        them until the lease has passed. A `resolved` notice waits for its `fired` one.
        """
        ...

    async def delivered(self, claimed: Claimed, *, detail: str) -> None:
        """Record that the target has it, even where the lease has passed meanwhile."""
        ...

    async def try_again(self, claimed: Claimed, *, wait_s: float, detail: str) -> None:
        """Record a failed attempt; void where another attempt has begun since."""
        ...

    async def given_up(self, claimed: Claimed, *, detail: str) -> None:
        """Record that there will be no further attempt; void where another has begun since."""
        ...

    async def pending(self) -> Mapping[str, int]:
        """Return how many notices of each channel wait."""
        ...


class Channel(Protocol):
    """One kind of target."""

    @property
    def name(self) -> str: ...

    async def send(self, body: bytes, *, delivery_id: UUID) -> Answer:
        """Send one notice, within a bounded time. Failures are answers; it raises nothing."""
        ...
