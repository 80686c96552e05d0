"""Funnels in Postgres, on the connection and in the transaction of whoever counts."""

import json
from collections.abc import Collection, Mapping, Sequence
from datetime import date, timedelta
from typing import Any
from uuid import UUID

from services.segmenter.domain.funnel import Condition, Funnel, Step
from services.segmenter.domain.funnel_marks import from_bytes, to_bytes
from services.segmenter.usecases.fold_funnels import FunnelCell, FunnelUser, Row
from shared.database.connection import Connection, translated

# In one statement: the version belongs to the definitions.
_DEFINITIONS = """
SELECT version, funnel_id, steps, window_s
FROM funnels_version LEFT JOIN funnels ON state <> 'deleting'
"""

_LOCK = """
SELECT funnel_id, user_id, marks, truncated, revision
FROM funnel_users
WHERE (funnel_id, user_id) IN (SELECT * FROM unnest($1::int[], $2::text[]))
ORDER BY funnel_id, user_id FOR UPDATE
"""

# A row that was not there when it was to be locked, and is now, has a revision that nobody expects.
_WRITE = """
INSERT INTO funnel_users AS stored (funnel_id, user_id, marks, truncated, revision)
SELECT * FROM unnest($1::int[], $2::text[], $3::bytea[], $4::boolean[], $5::int[])
ON CONFLICT (funnel_id, user_id) DO UPDATE
SET marks = EXCLUDED.marks, truncated = EXCLUDED.truncated, revision = EXCLUDED.revision
WHERE stored.revision = EXCLUDED.revision - 1
RETURNING funnel_id, user_id
"""

_REMOVE = """
DELETE FROM funnel_users
WHERE (funnel_id, user_id) IN (SELECT * FROM unnest($1::int[], $2::text[]))
"""

_COUNT = """
INSERT INTO funnel_counts AS cell (funnel_id, day, step, shard, users)
SELECT funnel_id, day, step, $5, users
FROM unnest($1::int[], $2::date[], $3::smallint[], $4::bigint[])
     AS given (funnel_id, day, step, users)
ON CONFLICT (funnel_id, day, step, shard) DO UPDATE SET users = cell.users + EXCLUDED.users
"""


class PostgresFunnelStore:
    """Keeps the port `FunnelStore`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def definitions(self) -> tuple[UUID, Sequence[Funnel]]:
        with translated():
            rows = await self._connection.fetch(_DEFINITIONS)
        funnels = [funnel_of(row) for row in rows if row["funnel_id"] is not None]
        return rows[0]["version"], funnels

    async def lock(self, keys: Collection[FunnelUser]) -> dict[FunnelUser, Row]:
        return {
            (row["funnel_id"], row["user_id"]): Row(
                from_bytes(row["marks"], truncated=row["truncated"]), row["revision"]
            )
            for row in await self._locked(keys)
        }

    async def _locked(self, keys: Collection[FunnelUser]) -> Sequence[Mapping[str, Any]]:
        with translated():
            rows: Sequence[Mapping[str, Any]] = await self._connection.fetch(_LOCK, *_columns(keys))
        return rows

    async def _remove(self, keys: Collection[FunnelUser]) -> None:
        if keys:
            with translated():
                await self._connection.execute(_REMOVE, *_columns(keys))

    async def write(self, rows: Mapping[FunnelUser, Row]) -> set[FunnelUser]:
        empty = {key for key, row in rows.items() if not (row.marks.marks or row.marks.floors)}
        await self._remove(empty)
        keys = sorted(rows.keys() - empty)
        if not keys:
            return empty
        with translated():
            written = await self._connection.fetch(
                _WRITE,
                *_columns(keys),
                [to_bytes(rows[key].marks) for key in keys],
                [rows[key].marks.truncated for key in keys],
                [rows[key].revision + 1 for key in keys],
            )
        return empty | {(row["funnel_id"], row["user_id"]) for row in written}

    async def count(self, delta: Mapping[FunnelCell, int], *, shard: int) -> None:
        cells = sorted(delta)  # in the order of their keys, as everybody locks them
        funnels, days, steps = (list(column) for column in zip(*cells, strict=True))
        with translated():
            await self._connection.execute(
                _COUNT,
                funnels,
                [date.fromordinal(day) for day in days],
                steps,
                [delta[cell] for cell in cells],
                shard,
            )


def funnel_of(row: Mapping[str, Any]) -> Funnel:
    steps = tuple(
        Step(
            each["event"],
            each.get("type"),
            tuple(
                Condition(condition["property"], condition["equals"])
                for condition in each.get("conditions", ())
            ),
        )
        for each in json.loads(row["steps"])
    )
    return Funnel(row["funnel_id"], steps, timedelta(seconds=row["window_s"]))


def _columns(keys: Collection[FunnelUser]) -> tuple[list[int], list[str]]:
    """Return the keys in their order, as one array per column."""
    in_order = sorted(keys)
    return [funnel for funnel, _ in in_order], [user for _, user in in_order]
