"""Alerts: one, and pages of them."""

from collections.abc import Callable
from dataclasses import asdict
from datetime import datetime
from http import HTTPStatus
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
    NoParameters,
    Text,
    next_cursor,
)
from services.api.inbound.places import uuid_place_behind
from services.api.usecases.ports import AlertFilter, Snapshots
from shared.http.problems import Problem, answers
from shared.vocabulary import AlertKind, AlertState, Severity

_LISTING = "alerts"


class Alert(BaseModel):
    """A warning with its owner and playbook. `fired_at` is when it became true."""

    alert_id: UUID
    kind: AlertKind
    state: AlertState
    severity: Severity
    user_id: str
    summary: str
    evidence: dict[str, Any]
    owner: str
    playbook: str
    fired_at: datetime
    recorded_at: datetime
    resolved_at: datetime | None
    resolution: str | None


class OneAlert(Answer, Alert):
    """One alert and the answer's age."""


class Alerts(Answer):
    """A page of alerts, newest first."""

    alerts: list[Alert]
    next_cursor: str | None


class Asked(BaseModel, extra="forbid"):
    """The parameters of the list."""

    state: AlertState | None = None
    kind: AlertKind | None = None
    user_id: Text | None = None
    fired_from: Instant | None = None
    fired_to: Instant | None = None
    cursor: Cursor = None
    limit: Limit = 100


def alerts_router(snapshots: Snapshots, ages: Ages, *, reader: Callable[..., object]) -> APIRouter:
    router = APIRouter(tags=["alerts"], dependencies=[Depends(reader)])

    @router.get("/v1/alerts")
    async def list_alerts(asked: Annotated[Asked, Query()]) -> Alerts:
        """Return a page of alerts, newest first."""
        wanted = AlertFilter(
            asked.state, asked.kind, asked.user_id, asked.fired_from, asked.fired_to
        )
        behind = uuid_place_behind(_LISTING, asked.cursor)
        async with snapshots.open() as snapshot:
            rows = await snapshot.alerts(wanted, behind=behind, limit=asked.limit)
            age = await ages.of(snapshot)
        return Alerts(
            alerts=[Alert(**asdict(row)) for row in rows],
            next_cursor=next_cursor(_LISTING, rows, asked.limit, "fired_at", "alert_id"),
            **age,
        )

    @router.get("/v1/alerts/{alert_id}", responses=answers(HTTPStatus.NOT_FOUND))
    async def get_alert(alert_id: UUID, _: Annotated[NoParameters, Query()]) -> OneAlert:
        """Return one alert."""
        async with snapshots.open() as snapshot:
            found = await snapshot.alert(alert_id)
            age = await ages.of(snapshot)
        if found is None:
            raise Problem(
                HTTPStatus.NOT_FOUND, "unknown_alert", "no alert has this id", field="alert_id"
            )
        return OneAlert(**asdict(found), **age)

    return router
