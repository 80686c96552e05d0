"""Dead letters: what was refused, why, and the bytes that came."""

from collections.abc import Sequence
from itertools import accumulate

from sqlalchemy import ColumnElement, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from services.api.domain.views import DeadLetterView
from services.api.outbound.pages import page
from services.api.usecases.ports import At, DeadLetterFilter
from shared.database.tables.lanes import dead_letters as table

# A letter may hold a mebibyte: a page ends before more than this is read at once.
LARGEST_PAGE_BYTES = 8 * 1024 * 1024


async def dead_letters(
    connection: AsyncConnection, wanted: DeadLetterFilter, *, behind: At | None, limit: int
) -> tuple[Sequence[DeadLetterView], bool]:
    """Return a page, and whether it had to end before the limit."""
    sizes = await _sizes(connection, wanted, behind=behind, limit=limit)
    fitting = _fitting(sizes)
    if not fitting:
        return [], False
    query = select(
        table.c.dead_letter_id,
        table.c.code,
        table.c.field,
        table.c.reason,
        table.c.origin,
        table.c.source,
        table.c.topic,
        table.c.part,
        table.c.kafka_offset,
        table.c.value,
        table.c.truncated,
        table.c.refused_at,
    ).where(*_conditions(wanted))
    rows = await connection.execute(
        page(query, at=table.c.refused_at, key=table.c.dead_letter_id, behind=behind, limit=fitting)
    )
    return [DeadLetterView(*row) for row in rows], fitting < len(sizes)


async def _sizes(
    connection: AsyncConnection, wanted: DeadLetterFilter, *, behind: At | None, limit: int
) -> list[int]:
    query = select(func.octet_length(table.c.value)).where(*_conditions(wanted))
    rows = await connection.execute(
        page(query, at=table.c.refused_at, key=table.c.dead_letter_id, behind=behind, limit=limit)
    )
    return list(rows.scalars())


def _fitting(sizes: Sequence[int]) -> int:
    """Return how many of the first letters go into one page: at least one, if there is any."""
    within = [total for total in accumulate(sizes) if total <= LARGEST_PAGE_BYTES]
    return max(len(within), min(1, len(sizes)))


def _conditions(wanted: DeadLetterFilter) -> list[ColumnElement[bool]]:
    given = {
        table.c.code: wanted.code,
        table.c.origin: wanted.origin,
        table.c.source: wanted.source,
    }
    conditions = [column == value for column, value in given.items() if value is not None]
    if wanted.refused_from is not None:
        conditions.append(table.c.refused_at >= wanted.refused_from)
    if wanted.refused_to is not None:
        conditions.append(table.c.refused_at < wanted.refused_to)
    return conditions
