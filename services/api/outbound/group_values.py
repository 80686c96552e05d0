"""The values that counted users can be told apart by, a page at a time."""

from collections.abc import Sequence

from sqlalchemy import ColumnElement, select
from sqlalchemy.ext.asyncio import AsyncConnection


async def values_behind(
    connection: AsyncConnection,
    value: ColumnElement[str],
    *conditions: ColumnElement[bool],
    having: ColumnElement[bool],
    behind: str | None,
    limit: int,
) -> Sequence[str]:
    """Return the values of the rows that meet the conditions, in their order, behind one of them."""
    wanted = select(value).where(*conditions).group_by(value).having(having).order_by(value)
    if behind is not None:
        wanted = wanted.where(value > behind)
    return [found for (found,) in await connection.execute(wanted.limit(limit))]
