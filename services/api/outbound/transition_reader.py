"""Transitions, by user, kind, state and time."""

from collections.abc import Sequence

from sqlalchemy import ColumnElement, select
from sqlalchemy.ext.asyncio import AsyncConnection

from services.api.domain.views import TransitionView
from services.api.outbound.pages import page
from services.api.usecases.ports import At, TransitionFilter
from shared.database.tables.segmenter import transitions as table


async def transitions(
    connection: AsyncConnection,
    wanted: TransitionFilter,
    *,
    behind: At | None,
    limit: int,
    oldest_first: bool,
) -> Sequence[TransitionView]:
    query = select(
        table.c.transition_id,
        table.c.user_id,
        table.c.kind,
        table.c.before,
        table.c.after,
        table.c.at,
        table.c.recorded_at,
        table.c.reason,
        table.c.policy_version,
        table.c.historical,
        table.c.evidence,
        table.c.retracted_at,
        table.c.retracted_because,
    ).where(*_equal(wanted), *_between(wanted))
    rows = await connection.execute(
        page(
            query,
            at=table.c.at,
            key=table.c.transition_id,
            behind=behind,
            limit=limit,
            oldest_first=oldest_first,
        )
    )
    return [TransitionView(*row) for row in rows]


def _equal(wanted: TransitionFilter) -> list[ColumnElement[bool]]:
    given = {
        table.c.user_id: wanted.user_id,
        table.c.kind: wanted.kind,
        table.c.before: wanted.before,
        table.c.after: wanted.after,
    }
    return [column == value for column, value in given.items() if value is not None]


def _between(wanted: TransitionFilter) -> list[ColumnElement[bool]]:
    conditions: list[ColumnElement[bool]] = []
    if wanted.at_from is not None:
        conditions.append(table.c.at >= wanted.at_from)
    if wanted.at_to is not None:
        conditions.append(table.c.at < wanted.at_to)
    if wanted.retracted is not None:
        stands = table.c.retracted_at.is_(None)
        conditions.append(~stands if wanted.retracted else stands)
    return conditions
