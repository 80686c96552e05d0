"""Marks of funnels as stored and as rebuilt, side by side in the order of their keys."""

import struct
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from datetime import date
from typing import Any

from services.segmenter.domain.funnel import LARGEST_FUNNEL
from services.segmenter.domain.funnel_marks import Marks, from_bytes
from services.segmenter.outbound.funnel_store import PostgresFunnelStore
from services.segmenter.usecases.fold_funnels import FunnelUser
from services.segmenter.usecases.rebuild_funnels import Pair
from shared.database.connection import Connection, translated

FETCHED = 500  # rows at once: one may have 16 KB

_MARKS = """
SELECT funnel_id, user_id, marks, truncated FROM {schema}.funnel_users
WHERE funnel_id = ANY ($1::int[]) ORDER BY funnel_id, user_id
"""

_LAST_DAY = date.max.toordinal()

_COUNTED = "SELECT funnel_id FROM public.funnels WHERE state = 'live'"


class PostgresMarksToMend(PostgresFunnelStore):
    """Keeps the port `FunnelStore` for who mends: marks that can't be read are removed when they are locked."""

    async def _locked(self, keys: Collection[FunnelUser]) -> Sequence[Mapping[str, Any]]:
        rows = await super()._locked(keys)
        await self._remove([_key(row) for row in rows if _marks(row) is None])
        return [row for row in rows if _marks(row) is not None]


async def paired(
    live: Connection, shadow: Connection, funnel_ids: Collection[int]
) -> AsyncIterator[Sequence[Pair]]:
    """Yield the marks of these funnels that are not the same on both sides, some at a time."""
    given = sorted(funnel_ids)
    stored, logged = _rows(live, "public", given), _rows(shadow, "rebuild", given)
    left, right = await anext(stored, None), await anext(logged, None)
    found: list[Pair] = []
    while left is not None or right is not None:
        key = min(_key(each) for each in (left, right) if each is not None)
        of_stored = left if left is not None and _key(left) == key else None
        of_logged = right if right is not None and _key(right) == key else None
        if _content(of_stored) != _content(of_logged):
            found.append(Pair(key, _marks(of_stored), _marks(of_logged) or Marks()))
        if of_stored is not None:
            left = await anext(stored, None)
        if of_logged is not None:
            right = await anext(logged, None)
        if len(found) == FETCHED:
            yield found
            found = []
    if found:
        yield found


async def still_counted(connection: Connection) -> set[int]:
    """Return the funnels that count, and whose counts stay at least to the end of the open transaction.

    Whoever removes a funnel waits for all that had an id when it was deleted.
    """
    with translated():
        await connection.execute("SELECT pg_current_xact_id()")
        rows = await connection.fetch(_COUNTED)
    return {row["funnel_id"] for row in rows}


async def _rows(connection: Connection, schema: str, given: Sequence[int]) -> AsyncIterator[Any]:
    with translated():
        cursor = await connection.cursor(_MARKS.format(schema=schema), given)
    while True:
        with translated():
            rows = await cursor.fetch(FETCHED)
        if not rows:
            return
        for row in rows:
            yield row


def _key(row: Any) -> tuple[int, str]:
    return row["funnel_id"], row["user_id"]


def _content(row: Any) -> tuple[bytes, bool] | None:
    return None if row is None else (row["marks"], row["truncated"])


def _marks(row: Any) -> Marks | None:
    """Return the marks of a row, None where they can't be any."""
    if row is None:
        return Marks()
    try:
        marks = from_bytes(row["marks"], truncated=row["truncated"])
    except (struct.error, ValueError, StopIteration):
        return None
    can_be = all(
        0 < day <= _LAST_DAY and depth <= LARGEST_FUNNEL for day, depth in marks.floors.items()
    )
    return marks if can_be else None
