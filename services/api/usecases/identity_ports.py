"""What the routes of identity ask of a snapshot."""

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from services.api.domain.identity_views import (
    IdentityView,
    MergeFilter,
    MergeView,
    RejectedClaimView,
)


class IdentityBook(Protocol):
    """Whose each id is. Every method may raise StoreUnavailable."""

    async def home(self, user_id: str) -> str | None:
        """Return the user whose an id is; itself where it was never merged, None where nothing is known of it."""
        ...

    async def ids_of(self, user_id: str) -> Sequence[str]:
        """Return every id under which this user's events are in the event log, their own first."""
        ...

    async def identities(
        self, user_id: str, *, behind: str | None, limit: int
    ) -> Sequence[IdentityView]:
        """Return a page of a user's other ids, each with the claim that holds."""
        ...

    async def rejected_claims(self, user_id: str, *, limit: int) -> Sequence[RejectedClaimView]:
        """Return the latest claims of or on any id of this user that do not hold."""
        ...

    async def merges(
        self, wanted: MergeFilter, *, behind: tuple[datetime, str] | None, limit: int
    ) -> Sequence[MergeView]:
        """Return a page of merges, the newest first."""
        ...
