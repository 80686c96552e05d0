"""Funnels: what is defined, how far the event log is counted, and who got how far."""

from collections.abc import Sequence
from datetime import date
from typing import Any

from sqlalchemy import ColumnElement, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from services.api.domain.funnels import FunnelDay, FunnelView
from shared.database.tables.funnels import funnel_counts, funnel_users
from shared.database.tables.funnels import funnels as table

_TRUNCATED = (
    select(func.count())
    .where(funnel_users.c.funnel_id == table.c.funnel_id, funnel_users.c.truncated)
    .scalar_subquery()
    .label("truncated_users")
)
_COLUMNS: Sequence[Any] = (
    table.c.funnel_id,
    table.c.name,
    table.c.steps,
    table.c.window_s,
    table.c.state,
    table.c.created_at,
    table.c.held_since,
    table.c.pages_done,
    table.c.pages,
    _TRUNCATED,
)


async def funnels(connection: AsyncConnection) -> Sequence[FunnelView]:
    """Return the funnels that count, by name."""
    rows = await connection.execute(
        select(*_COLUMNS).where(table.c.state != "deleting").order_by(table.c.name)
    )
    return [_view(row) for row in rows]


async def funnel(connection: AsyncConnection, funnel_id: int) -> FunnelView | None:
    rows = await connection.execute(
        select(*_COLUMNS).where(table.c.state != "deleting", table.c.funnel_id == funnel_id)
    )
    row = rows.first()
    return None if row is None else _view(row)


async def funnel_days(
    connection: AsyncConnection, shown: FunnelView, *, first: date | None, end: date | None
) -> Sequence[FunnelDay]:
    """Return the days on which anybody entered, from the first and before the end."""
    cells = funnel_counts.c
    conditions: list[ColumnElement[bool]] = [cells.funnel_id == shown.funnel_id]
    if first is not None:
        conditions.append(cells.day >= first)
    if end is not None:
        conditions.append(cells.day < end)
    rows = await connection.execute(
        select(cells.day, cells.step, func.sum(cells.users))
        .where(*conditions)
        .group_by(cells.day, cells.step)
        .order_by(cells.day)
    )
    counted: dict[date, list[int]] = {}
    for day, step, users in rows:
        counted.setdefault(day, [0] * len(shown.steps))[step - 1] = int(users)
    return [FunnelDay(day, users) for day, users in counted.items() if users[0]]


async def latest_day(connection: AsyncConnection, funnel_id: int) -> date | None:
    """Return the last day on which anybody entered."""
    cells = funnel_counts.c
    rows = await connection.execute(
        select(func.max(cells.day)).where(cells.funnel_id == funnel_id, cells.step == 1)
    )
    latest: date | None = rows.scalar_one()
    return latest


def _view(row: Any) -> FunnelView:
    return FunnelView(
        funnel_id=row.funnel_id,
        name=row.name,
        steps=row.steps,
        window_s=row.window_s,
        state=row.state,
        created_at=row.created_at,
        held_since=row.held_since,
        pages=None if row.pages is None else (row.pages_done, row.pages),
        truncated_users=row.truncated_users,
    )
