"""Retention: how many of a cohort were active at each age."""

from collections.abc import Mapping, Sequence
from datetime import date

from sqlalchemy import ColumnElement, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from services.api.domain.counts import Dimension, Group
from services.api.domain.periods import Period
from services.api.outbound.group_values import values_behind
from shared.database.tables.counters import retention as table

_USERS = func.sum(table.c.users)


async def retention(
    connection: AsyncConnection, period: Period, group: Group, *, first: date, end: date,
    oldest: int,
) -> Mapping[tuple[str, date], Mapping[int, int]]:  # fmt: skip
    rows = await connection.execute(
        select(table.c.value, table.c.cohort, table.c.age, _USERS)
        .where(
            *_between(period, group.dimension, first, end),
            table.c.value.in_(list(group.values)),
            table.c.age <= oldest,
        )
        .group_by(table.c.value, table.c.cohort, table.c.age)
    )
    found: dict[tuple[str, date], dict[int, int]] = {}
    for value, cohort, age, users in rows:
        found.setdefault((value, cohort), {})[age] = int(users)
    return found


async def retention_values(  # noqa: PLR0913
    connection: AsyncConnection, period: Period, by: Dimension, *, first: date, end: date,
    behind: str | None, limit: int,
) -> Sequence[str]:  # fmt: skip
    return await values_behind(
        connection, table.c.value, *_between(period, by, first, end), table.c.age == 0,
        having=_USERS != 0, behind=behind, limit=limit,
    )  # fmt: skip


def _between(
    period: Period, dimension: Dimension, first: date, end: date
) -> list[ColumnElement[bool]]:
    return [
        table.c.period == period.value,
        table.c.dimension == dimension.value,
        table.c.cohort >= first,
        table.c.cohort < end,
    ]
