"""Counters in Postgres, added to at the end of the transaction that changed the users."""

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

from services.segmenter.domain.counters import (
    ActiveCell,
    Cells,
    FlowCell,
    MonthCell,
    RetentionCell,
    active_cells,
    flow_cells,
    month_cells,
    retention_cells,
)
from shared.database.connection import Connection, translated

SHARDS = 8
JOBS_SHARD = 8  # lanes have the eight below

# The rows are given in the order of their keys, the same for everybody, and are locked one by one as they
# come: no two transactions can wait for each other.
_ADD_ACTIVE = """
INSERT INTO active_users AS cell (period, dimension, start, value, shard, users, new_users)
SELECT period, dimension, start, value, $7, users, new_users
FROM unnest($1::text[], $2::text[], $3::date[], $4::text[], $5::bigint[], $6::bigint[])
     WITH ORDINALITY AS given (period, dimension, start, value, users, new_users, place)
ORDER BY place
ON CONFLICT (period, dimension, start, value, shard) DO UPDATE
SET users = cell.users + EXCLUDED.users, new_users = cell.new_users + EXCLUDED.new_users
"""

_ADD_RETENTION = """
INSERT INTO retention AS cell (period, dimension, cohort, value, age, shard, users)
SELECT period, dimension, cohort, value, age, $7, users
FROM unnest($1::text[], $2::text[], $3::date[], $4::text[], $5::smallint[], $6::bigint[])
     WITH ORDINALITY AS given (period, dimension, cohort, value, age, users, place)
ORDER BY place
ON CONFLICT (period, dimension, cohort, value, age, shard) DO UPDATE
SET users = cell.users + EXCLUDED.users
"""

_ADD_FLOWS = """
INSERT INTO lifecycle_flows AS cell (dimension, hour, value, before, after, shard, transitions)
SELECT dimension, hour, value, before, after, $7, transitions
FROM unnest($1::text[], $2::timestamptz[], $3::text[], $4::text[], $5::text[], $6::bigint[])
     WITH ORDINALITY AS given (dimension, hour, value, before, after, transitions, place)
ORDER BY place
ON CONFLICT (dimension, hour, value, before, after, shard) DO UPDATE
SET transitions = cell.transitions + EXCLUDED.transitions
"""

_ADD_MONTHS = """
INSERT INTO lifecycle_flow_months AS cell
       (dimension, month, value, before, after, shard, transitions)
SELECT dimension, month, value, before, after, $7, transitions
FROM unnest($1::text[], $2::date[], $3::text[], $4::text[], $5::text[], $6::bigint[])
     WITH ORDINALITY AS given (dimension, month, value, before, after, transitions, place)
ORDER BY place
ON CONFLICT (dimension, month, value, before, after, shard) DO UPDATE
SET transitions = cell.transitions + EXCLUDED.transitions
"""


class CounterStore:
    """Adds a batch's cells. One statement for each table that has any, always in this order."""

    async def add(self, connection: Connection, cells: Cells, shard: int) -> None:
        """Add the cells to the shard. To be called once, last in the transaction.

        Raises StoreUnavailable.
        """
        flows = flow_cells(cells)
        for statement, columns in (
            (_ADD_ACTIVE, _active(active_cells(cells))),
            (_ADD_RETENTION, _retention(retention_cells(cells))),
            (_ADD_FLOWS, _flows(flows)),
            (_ADD_MONTHS, _flows(month_cells(flows))),
        ):
            if columns:
                with translated():
                    await connection.execute(statement, *columns, shard)


def shard_of(part: int) -> int:
    """Return the shard that a partition's lane adds to."""
    return part % SHARDS


def _active(cells: Mapping[ActiveCell, tuple[int, int]]) -> list[list[Any]]:
    return _columns(
        [
            (
                period,
                dimension,
                date.fromordinal(start),
                value,
                *cells[period, dimension, start, value],
            )
            for period, dimension, start, value in sorted(cells)
        ]
    )


def _retention(cells: Mapping[RetentionCell, int]) -> list[list[Any]]:
    return _columns(
        [
            (period, dimension, date.fromordinal(cohort), value, age, cells[key])
            for key in sorted(cells)
            for period, dimension, cohort, value, age in (key,)
        ]
    )


def _flows(cells: Mapping[FlowCell, int] | Mapping[MonthCell, int]) -> list[list[Any]]:
    counts: Mapping[Any, int] = cells
    return _columns([(*key, counts[key]) for key in sorted(counts)])


def _columns(rows: Sequence[tuple[Any, ...]]) -> list[list[Any]]:
    """Return one array per column; none where there are no rows."""
    return [list(column) for column in zip(*rows, strict=True)]
