"""What was recounted from the event log, and whether it agreed with what is stored."""

from collections.abc import Callable
from dataclasses import asdict
from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Depends, Query
from pydantic import BaseModel, Field

from services.api.inbound.answers import (
    Ages,
    Answer,
    Cursor,
    bad_cursor,
    key_behind,
    next_cursor,
)
from services.api.usecases.ports import Snapshots

_LISTING = "reconciliations"
_LONGEST_NUMBER = 18  # digits that a bigint has in any case


class Difference(BaseModel):
    """A user's field or a counter's cell that is not stored as it was recounted."""

    kind: str
    subject: str
    field: str
    stored: str | None
    recounted: str | None


class Reconciliation(BaseModel):
    """One run. Skipped are users of whom the log no longer holds everything."""

    reconciliation_id: int
    at: datetime
    users_checked: int
    users_skipped: int
    users_differing: int
    cells_checked: int
    cells_differing: int
    differences: list[Difference]


class Reconciliations(Answer):
    """A page of runs, newest first."""

    reconciliations: list[Reconciliation]
    next_cursor: str | None


class Asked(BaseModel, extra="forbid"):
    """The parameters of the list."""

    differing: bool | None = Field(None, description="true: only runs that found a difference")
    cursor: Cursor = None
    limit: Annotated[int, Query(ge=1, le=100, description="rows of a page")] = 20


def reconciliations_router(
    snapshots: Snapshots, ages: Ages, *, reader: Callable[..., object]
) -> APIRouter:
    router = APIRouter(tags=["reconciliations"], dependencies=[Depends(reader)])

    @router.get("/v1/reconciliations")
    async def list_reconciliations(asked: Annotated[Asked, Query()]) -> Reconciliations:
        """Return a page of runs, newest first."""
        behind = _behind(asked.cursor)
        async with snapshots.open() as snapshot:
            found = await snapshot.counters.reconciliations(
                behind=behind, limit=asked.limit, differing=asked.differing
            )
            age = await ages.of(snapshot)
        return Reconciliations(
            reconciliations=[Reconciliation.model_validate(asdict(each)) for each in found],
            next_cursor=next_cursor(_LISTING, found, asked.limit, "reconciliation_id"),
            **age,
        )

    return router


def _behind(cursor: str | None) -> int | None:
    if cursor is None:
        return None
    (key,) = key_behind(_LISTING, cursor, parts=1)
    if not (key.isascii() and key.isdecimal() and len(key) <= _LONGEST_NUMBER):
        raise bad_cursor("is not a cursor")
    return int(key)
