"""Active users by day, week and month, and the values that they can be told apart by."""

from collections.abc import Mapping, Sequence
from datetime import date
from zoneinfo import ZoneInfo

from sqlalchemy import ColumnElement, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from services.api.domain.counts import Dimension, Group
from services.api.domain.periods import Period
from services.api.outbound.group_values import values_behind
from shared.database.tables.counters import active_users as table
from shared.database.tables.counters import product

_USERS = func.sum(table.c.users)


async def zone(connection: AsyncConnection) -> ZoneInfo:
    name = (await connection.execute(select(product.c.zone))).scalar_one_or_none()
    return ZoneInfo(name or "UTC")


async def activity(
    connection: AsyncConnection, period: Period, group: Group, *, first: date, end: date
) -> Mapping[tuple[str, date], tuple[int, int]]:
    rows = await connection.execute(
        select(table.c.value, table.c.start, _USERS, func.sum(table.c.new_users))
        .where(
            *_between(period, group.dimension, first, end), table.c.value.in_(list(group.values))
        )
        .group_by(table.c.value, table.c.start)
    )
    return {(value, start): (int(users), int(new)) for value, start, users, new in rows}


async def activity_values(  # noqa: PLR0913  the conditions of one query
    connection: AsyncConnection, period: Period, by: Dimension, *, first: date, end: date,
    behind: str | None, limit: int,
) -> Sequence[str]:  # fmt: skip
    return await values_behind(
        connection, table.c.value, *_between(period, by, first, end),
        having=_USERS != 0, behind=behind, limit=limit,
    )  # fmt: skip


def _between(
    period: Period, dimension: Dimension, first: date, end: date
) -> list[ColumnElement[bool]]:
    return [
        table.c.period == period.value,
        table.c.dimension == dimension.value,
        table.c.start >= first,
        table.c.start < end,
    ]
