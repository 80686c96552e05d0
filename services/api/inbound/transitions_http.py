"""The history: who changed from what to what, when and why."""

from collections.abc import Callable
from dataclasses import asdict
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, Query
from pydantic import BaseModel

from services.api.inbound.answers import (
    Ages,
    Answer,
    Cursor,
    Instant,
    Limit,
    Text,
    next_cursor,
)
from services.api.inbound.places import uuid_place_behind
from services.api.usecases.ports import Snapshots, TransitionFilter
from shared.vocabulary import Lifecycle, TransitionKind, TransitionReason

_LISTING = "transitions"


class Status(StrEnum):
    """Which transitions: those that stand, those that a late event contradicted, or both."""

    STANDING = "standing"
    RETRACTED = "retracted"
    ALL = "all"


class Order(StrEnum):
    NEWEST = "newest"
    OLDEST = "oldest"


class Transition(BaseModel):
    """One change. `at` is when it became true, `recorded_at` when it was noticed (product time)."""

    transition_id: UUID
    user_id: str
    kind: TransitionKind
    before: str | None
    after: str
    at: datetime
    recorded_at: datetime
    reason: TransitionReason
    policy_version: int
    historical: bool
    evidence: dict[str, Any]
    retracted_at: datetime | None
    retracted_because: str | None


class Transitions(Answer):
    """A page of transitions."""

    transitions: list[Transition]
    next_cursor: str | None


_WANTED = {Status.STANDING: False, Status.RETRACTED: True, Status.ALL: None}


class Asked(BaseModel, extra="forbid"):
    """The parameters of the list."""

    user_id: Text | None = None
    kind: TransitionKind | None = None
    before: Lifecycle | None = None
    after: Lifecycle | None = None
    at_from: Instant | None = None
    at_to: Instant | None = None
    status: Status = Status.STANDING
    order: Order = Order.NEWEST
    cursor: Cursor = None
    limit: Limit = 100


def transitions_router(
    snapshots: Snapshots, ages: Ages, *, reader: Callable[..., object]
) -> APIRouter:
    router = APIRouter(tags=["transitions"], dependencies=[Depends(reader)])

    @router.get("/v1/transitions")
    async def list_transitions(asked: Annotated[Asked, Query()]) -> Transitions:
        """Return a page of transitions in the order of time."""
        listing = f"{_LISTING}-{asked.order}"
        wanted = TransitionFilter(
            user_id=asked.user_id,
            kind=asked.kind,
            before=asked.before,
            after=asked.after,
            at_from=asked.at_from,
            at_to=asked.at_to,
            retracted=_WANTED[asked.status],
        )
        behind = uuid_place_behind(listing, asked.cursor)
        async with snapshots.open() as snapshot:
            rows = await snapshot.transitions(
                wanted,
                behind=behind,
                limit=asked.limit,
                oldest_first=asked.order is Order.OLDEST,
            )
            age = await ages.of(snapshot)
        return Transitions(
            transitions=[Transition(**asdict(row)) for row in rows],
            next_cursor=next_cursor(listing, rows, asked.limit, "at", "transition_id"),
            **age,
        )

    return router
