"""Alerts: one, and pages of them."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, select
from sqlalchemy.ext.asyncio import AsyncConnection

from services.api.domain.views import AlertView
from services.api.outbound.pages import page
from services.api.usecases.ports import AlertFilter, At
from shared.database.tables.alerts import alerts as table

_COLUMNS: Sequence[Any] = (
    table.c.alert_id,
    table.c.kind,
    table.c.state,
    table.c.severity,
    table.c.user_id,
    table.c.summary,
    table.c.evidence,
    table.c.owner,
    table.c.playbook,
    table.c.fired_at,
    table.c.recorded_at,
    table.c.resolved_at,
    table.c.resolution,
)


async def alert(connection: AsyncConnection, alert_id: UUID) -> AlertView | None:
    rows = await connection.execute(select(*_COLUMNS).where(table.c.alert_id == alert_id))
    row = rows.first()
    return None if row is None else AlertView(*row)


async def alerts(
    connection: AsyncConnection, wanted: AlertFilter, *, behind: At | None, limit: int
) -> Sequence[AlertView]:
    query = select(*_COLUMNS).where(*_conditions(wanted))
    rows = await connection.execute(
        page(query, at=table.c.fired_at, key=table.c.alert_id, behind=behind, limit=limit)
    )
    return [AlertView(*row) for row in rows]


def _conditions(wanted: AlertFilter) -> list[ColumnElement[bool]]:
    given = {
        table.c.state: wanted.state,
        table.c.kind: wanted.kind,
        table.c.user_id: wanted.user_id,
    }
    conditions = [column == value for column, value in given.items() if value is not None]
    if wanted.fired_from is not None:
        conditions.append(table.c.fired_at >= wanted.fired_from)
    if wanted.fired_to is not None:
        conditions.append(table.c.fired_at < wanted.fired_to)
    return conditions
