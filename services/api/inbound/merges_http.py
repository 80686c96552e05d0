"""Identity: the ids of a user, and what was merged when, by which event, and what moved."""

from collections.abc import Callable
from dataclasses import asdict
from datetime import datetime
from http import HTTPStatus
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Path, Query
from pydantic import BaseModel, Field

from services.api.domain.identity_views import MergeFilter
from services.api.inbound.answers import (
    Ages,
    Answer,
    Cursor,
    Instant,
    Limit,
    Text,
    key_behind,
    next_cursor,
)
from services.api.inbound.places import uuid_place_behind
from services.api.usecases.ports import Snapshots
from shared.http.problems import Problem, answers

_IDENTITIES, _MERGES = "identities", "merges"
MOST_REJECTED = 100


class Identity(BaseModel):
    """Another id of the user. `target`: the id that the event names, which may have been merged on since."""

    claimed: str
    target: str
    at: datetime
    source: str
    event_id: str
    decided_at: datetime


class RejectedClaim(Identity):
    """A claim that does not hold, and why."""

    fault: str


class Identities(Answer):
    """A page of a user's other ids, by id; `user_id` is the user whose the asked id is.

    `rejected` are the latest claims of or on any id of the user that do not hold.
    """

    user_id: str
    identities: list[Identity]
    rejected: list[RejectedClaim]
    next_cursor: str | None


class Merge(BaseModel):
    """That an id became another user's. `into_user` is the id itself where it is a user of its own again.

    `source`, `event_id` and `at` are of the event that claimed it. `events_moved` and `steps_retracted`
    are what it had as a user of its own; `steps_written` what all that was merged at once brought the user.
    """

    merge_id: UUID
    merged_at: datetime
    absorbed: str
    into_user: str
    from_user: str
    source: str
    event_id: str
    at: datetime
    events_moved: int
    steps_retracted: int
    steps_written: int


class Merges(Answer):
    """A page of merges, the newest first."""

    merges: list[Merge]
    next_cursor: str | None


class AskedIdentities(BaseModel, extra="forbid"):
    """The parameters of the list of ids."""

    cursor: Cursor = None
    limit: Limit = 100


class AskedMerges(BaseModel, extra="forbid"):
    """The parameters of the list of merges."""

    user_id: Text | None = Field(
        None, description="the id that was absorbed, or the user it became"
    )
    merged_from: Instant | None = Field(None, description="merged then or later")
    merged_to: Instant | None = Field(None, description="merged before")
    cursor: Cursor = None
    limit: Limit = 100


def merges_router(snapshots: Snapshots, ages: Ages, *, reader: Callable[..., object]) -> APIRouter:
    router = APIRouter(tags=["identity"], dependencies=[Depends(reader)])

    # A path, because an id may hold slashes.
    @router.get("/v1/users/{user_id:path}/identities", responses=answers(HTTPStatus.NOT_FOUND))
    async def get_identities(
        user_id: Annotated[str, Path(max_length=1_000)],
        asked: Annotated[AskedIdentities, Query()],
    ) -> Identities:
        """Return whose an id is, and a page of that user's other ids."""
        listing = _IDENTITIES
        behind = None if asked.cursor is None else key_behind(listing, asked.cursor, parts=1)[0]
        async with snapshots.open() as snapshot:
            identity = snapshot.identity
            home = None if "\x00" in user_id else await identity.home(user_id)
            if home is None:
                raise Problem(
                    HTTPStatus.NOT_FOUND, "unknown_user", "no user has this id", field="user_id"
                )
            rows = await identity.identities(home, behind=behind, limit=asked.limit)
            rejected = await identity.rejected_claims(home, limit=MOST_REJECTED)
            age = await ages.of(snapshot)
        return Identities(
            user_id=home,
            identities=[Identity(**asdict(row)) for row in rows],
            rejected=[RejectedClaim(**asdict(row)) for row in rejected],
            next_cursor=next_cursor(listing, rows, asked.limit, "claimed"),
            **age,
        )

    @router.get("/v1/merges")
    async def list_merges(asked: Annotated[AskedMerges, Query()]) -> Merges:
        """Return a page of merges, the newest first."""
        wanted = MergeFilter(asked.user_id, asked.merged_from, asked.merged_to)
        behind = uuid_place_behind(_MERGES, asked.cursor)
        async with snapshots.open() as snapshot:
            rows = await snapshot.identity.merges(wanted, behind=behind, limit=asked.limit)
            age = await ages.of(snapshot)
        return Merges(
            merges=[Merge(**asdict(row)) for row in rows],
            next_cursor=next_cursor(_MERGES, rows, asked.limit, "merged_at", "merge_id"),
            **age,
        )

    return router
