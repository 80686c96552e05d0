"""Dead letters: what was refused, why, and the bytes that came."""

from collections.abc import Sequence

from sqlalchemy import ColumnElement, select
from sqlalchemy.ext.asyncio import AsyncConnection

from services.api.domain.views import DeadLetterView
from services.api.outbound.pages import page
from services.api.usecases.ports import At, DeadLetterFilter
from shared.database.tables.lanes import dead_letters as table


async def dead_letters(
    connection: AsyncConnection, wanted: DeadLetterFilter, *, behind: At | None, limit: int
) -> Sequence[DeadLetterView]:
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
        page(query, at=table.c.refused_at, key=table.c.dead_letter_id, behind=behind, limit=limit)
    )
    return [DeadLetterView(*row) for row in rows]


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
