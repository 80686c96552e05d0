"""What jobs about policies ask of the database, besides the users' own store."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from services.segmenter.domain.policy import Policy
from services.segmenter.domain.profile import Profile


@dataclass(frozen=True, slots=True)
class Outdated:
    """Some users in the order of their ids: how many were looked at up to `last`, and who is outdated.

    `oldest`: the oldest policy that was the last to touch one of these; None: nobody is outdated.
    """

    looked_at: int
    last: str
    user_ids: Sequence[str]
    oldest: int | None


class PolicyBook(Protocol):
    """Users in pages, by id, as one transaction sees them. Every method may raise StoreUnavailable."""

    async def fence(self) -> int:
        """Return a number for `has_ended`: it stands for all transactions that have begun to write by now."""
        ...

    async def has_ended(self, fence: int) -> bool:
        """Say whether all the transactions that the number stands for have ended."""
        ...

    async def policy(self, version: int) -> Policy | None:
        """Return a policy, activated or not."""
        ...

    async def users(self) -> int:
        """Return how many users there are: exactly while they are few, about so many when they are many."""
        ...

    async def page(self, *, behind: str, limit: int) -> Sequence[Profile]:
        """Return the next users, not locked; fewer where they have very many spans."""
        ...

    async def outdated(self, version: int, *, behind: str, limit: int) -> Outdated:
        """Look at the next `limit` users for those that a policy older than that was the last to touch.

        At fewer where these have very many spans.
        """
        ...

    async def watermarks(self) -> Mapping[int, datetime | None]:
        """Return up to when everything received was folded, by partition of the events topic; None: unknown."""
        ...
