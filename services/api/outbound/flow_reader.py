"""Flows between lifecycles, by hour or day, and the sums of all that came before."""

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, time
from typing import Any

from sqlalchemy import DateTime, Integer, Select, cast, func, literal, select, union_all
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.ext.asyncio import AsyncConnection

from services.api.domain.counts import Dimension, Flow, Group
from services.api.outbound.group_values import values_behind
from shared.database.tables.counters import lifecycle_flow_months as months
from shared.database.tables.counters import lifecycle_flows as hours

_INSTANTS = ARRAY(DateTime(timezone=True))


async def flows(
    connection: AsyncConnection, group: Group, begins: Sequence[datetime], *, end: datetime
) -> Mapping[str, Mapping[int, Sequence[Flow]]]:
    slot = func.width_bucket(hours.c.hour, cast(list(begins), _INSTANTS), type_=Integer)
    rows = await connection.execute(
        _sums(hours, group, slot.label("slot")).where(hours.c.hour >= begins[0], hours.c.hour < end)
    )
    found: dict[str, dict[int, list[Flow]]] = {}
    for value, number, before, after, transitions in rows:
        flow = Flow(before, after, int(transitions))
        found.setdefault(value, {}).setdefault(number - 1, []).append(flow)
    return found


async def flows_before(
    connection: AsyncConnection, group: Group, begin: datetime
) -> Mapping[str, Sequence[Flow]]:
    """Whole months come from their own table: a year is a few rows instead of thousands."""
    month = begin.astimezone(UTC).date().replace(day=1)
    both = union_all(
        _sums(months, group, literal(0)).where(months.c.month < month),
        _sums(hours, group, literal(0)).where(
            hours.c.hour >= _midnight(month), hours.c.hour < begin
        ),
    )
    found: dict[str, list[Flow]] = {}
    for value, _, before, after, transitions in await connection.execute(both):
        found.setdefault(value, []).append(Flow(before, after, int(transitions)))
    return found


async def flow_values(
    connection: AsyncConnection, by: Dimension, *, end: datetime, behind: str | None, limit: int
) -> Sequence[str]:
    """Return the values of users who came to be before the end of the month that holds it."""
    return await values_behind(
        connection,
        months.c.value,
        months.c.dimension == by.value,
        months.c.month <= end.astimezone(UTC).date(),
        having=func.bool_or(months.c.transitions != 0),
        behind=behind,
        limit=limit,
    )


def _sums(table: Any, group: Group, slot: Any) -> Select[Any]:
    columns = (table.c.value, slot, table.c.before, table.c.after)
    total = func.sum(table.c.transitions)
    return (
        select(*columns, total)
        .where(table.c.dimension == group.dimension.value, table.c.value.in_(list(group.values)))
        .group_by(table.c.value, slot, table.c.before, table.c.after)
        .having(total != 0)
        .order_by(table.c.value, slot, table.c.before, table.c.after)
    )


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time.min, UTC)
