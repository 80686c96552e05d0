"""Dead letters: what was refused, with its bytes."""

import base64
from collections.abc import Callable
from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Depends, Query
from pydantic import BaseModel, Field

from services.api.domain.views import DeadLetterView
from services.api.inbound.answers import (
    Ages,
    Answer,
    Cursor,
    Instant,
    Text,
    next_cursor,
    place_behind,
)
from services.api.usecases.ports import DeadLetterFilter, Snapshots

_LISTING = "dead-letters"


class DeadLetter(BaseModel):
    """A refused input. `text` are its bytes where they are UTF-8, `base64` where they are not."""

    dead_letter_id: str
    code: str
    field: str | None
    reason: str
    origin: str = Field(description="what refused it: ingest, or a group of lanes")
    source: str | None
    topic: str
    partition: int
    offset: int
    text: str | None
    base64: str | None
    truncated: bool
    refused_at: datetime


class DeadLetters(Answer):
    """A page of dead letters, newest first."""

    dead_letters: list[DeadLetter]
    next_cursor: str | None


class Asked(BaseModel, extra="forbid"):
    """The parameters of the list. A page may end before its limit: it holds at most 8 MiB of letters."""

    code: Text | None = None
    origin: Text | None = None
    source: Text | None = None
    refused_from: Instant | None = None
    refused_to: Instant | None = None
    cursor: Cursor = None
    limit: int = Field(20, ge=1, le=100)


def dead_letters_router(
    snapshots: Snapshots, ages: Ages, *, reader: Callable[..., object]
) -> APIRouter:
    router = APIRouter(tags=["dead letters"], dependencies=[Depends(reader)])

    @router.get("/v1/dead-letters")
    async def list_dead_letters(asked: Annotated[Asked, Query()]) -> DeadLetters:
        """Return a page of dead letters, newest first."""
        wanted = DeadLetterFilter(
            asked.code, asked.origin, asked.source, asked.refused_from, asked.refused_to
        )
        behind = place_behind(_LISTING, asked.cursor)
        async with snapshots.open() as snapshot:
            rows, cut = await snapshot.dead_letters(wanted, behind=behind, limit=asked.limit)
            age = await ages.of(snapshot)
        return DeadLetters(
            dead_letters=[_letter(row) for row in rows],
            next_cursor=next_cursor(
                _LISTING, rows, len(rows) if cut else asked.limit, "refused_at", "dead_letter_id"
            ),
            **age,
        )

    return router


def _letter(view: DeadLetterView) -> DeadLetter:
    try:
        text, encoded = view.value.decode(), None
    except UnicodeDecodeError:
        text, encoded = None, base64.b64encode(view.value).decode()
    return DeadLetter(
        dead_letter_id=view.dead_letter_id,
        code=view.code,
        field=view.field,
        reason=view.reason,
        origin=view.origin,
        source=view.source,
        topic=view.topic,
        partition=view.part,
        offset=view.kafka_offset,
        text=text,
        base64=encoded,
        truncated=view.truncated,
        refused_at=view.refused_at,
    )
