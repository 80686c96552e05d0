"""Users: one, a page of them, and how many stand where."""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import ColumnElement, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from services.api.domain.views import UserView
from services.api.usecases.ports import UserFilter
from shared.database.tables.segmenter import users as table

_COLUMNS: Sequence[Any] = (
    table.c.user_id,
    table.c.lifecycle,
    table.c.lifecycle_since,
    table.c.first_seen,
    table.c.last_seen,
    table.c.deadline,
    table.c.deadline_to,
    table.c.event_count,
    table.c.policy_version,
    table.c.updated_at,
)


async def user(connection: AsyncConnection, user_id: str) -> UserView | None:
    """Return the user whose the id is, whatever id of theirs it is."""
    home = table.alias("asked")
    merged_into = (
        select(home.c.merged_into)
        .where(home.c.user_id == user_id, home.c.merged_into > "")
        .scalar_subquery()
    )
    query = select(*_COLUMNS).where(
        table.c.user_id == func.coalesce(merged_into, user_id), table.c.merged_into.is_(None)
    )
    rows = await connection.execute(query)
    row = rows.first()
    return None if row is None else UserView(*row)


async def users(
    connection: AsyncConnection, wanted: UserFilter, *, behind: str | None, limit: int
) -> Sequence[UserView]:
    conditions = _conditions(wanted)
    if behind is not None:
        conditions.append(table.c.user_id > behind)
    rows = await connection.execute(
        select(*_COLUMNS).where(*conditions).order_by(table.c.user_id).limit(limit)
    )
    return [UserView(*row) for row in rows]


async def lifecycle_counts(connection: AsyncConnection) -> Mapping[str, int]:
    rows = await connection.execute(
        select(table.c.lifecycle, func.count().label("users"))
        .where(table.c.merged_into.is_(None))
        .group_by(table.c.lifecycle)
    )
    return {row.lifecycle: row.users for row in rows}


def _conditions(wanted: UserFilter) -> list[ColumnElement[bool]]:
    conditions: list[ColumnElement[bool]] = [table.c.merged_into.is_(None)]
    if wanted.lifecycle:
        conditions.append(table.c.lifecycle.in_(wanted.lifecycle))
    if wanted.prefix:
        conditions.append(table.c.user_id.startswith(wanted.prefix, autoescape=True))
    if wanted.seen_from is not None:
        conditions.append(table.c.last_seen >= wanted.seen_from)
    if wanted.seen_to is not None:
        conditions.append(table.c.last_seen < wanted.seen_to)
    return conditions
