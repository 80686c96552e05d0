"""Counters in Postgres, added to at the end of the transaction that changed the users."""

from collections.abc import Mapping

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
from shared.database.arrays import instant_array, number_array, text_array, word_array
from shared.database.connection import Connection, translated

SHARDS = 8
JOBS_SHARD = 8  # lanes have the eight below

# The rows are given in the order of their keys, the same for everybody, and are locked one by one as they
# come: no two transactions can wait for each other.
_ADD_ACTIVE = """
INSERT INTO active_users AS cell (period, dimension, start, value, shard, users, new_users)
SELECT period, dimension, DATE '0001-01-01' + (start - 1), value, $25, users, new_users
FROM unnest($1::text::text[], $2::text::text[], $3::text::int[], $4::text::text[],
            $5::text::bigint[], $6::text::bigint[])
     WITH ORDINALITY AS given (period, dimension, start, value, users, new_users, place)
ORDER BY place
ON CONFLICT (period, dimension, start, value, shard) DO UPDATE
SET users = cell.users + EXCLUDED.users, new_users = cell.new_users + EXCLUDED.new_users
"""

_ADD_RETENTION = """
INSERT INTO retention AS cell (period, dimension, cohort, value, age, shard, users)
SELECT period, dimension, DATE '0001-01-01' + (cohort - 1), value, age, $25, users
FROM unnest($7::text::text[], $8::text::text[], $9::text::int[], $10::text::text[],
            $11::text::smallint[], $12::text::bigint[])
     WITH ORDINALITY AS given (period, dimension, cohort, value, age, users, place)
ORDER BY place
ON CONFLICT (period, dimension, cohort, value, age, shard) DO UPDATE
SET users = cell.users + EXCLUDED.users
"""

_ADD_FLOWS = """
INSERT INTO lifecycle_flows AS cell (dimension, hour, value, before, after, shard, transitions)
SELECT dimension, hour, value, before, after, $25, transitions
FROM unnest($13::text::text[], $14::text::timestamptz[], $15::text::text[], $16::text::text[],
            $17::text::text[], $18::text::bigint[])
     WITH ORDINALITY AS given (dimension, hour, value, before, after, transitions, place)
ORDER BY place
ON CONFLICT (dimension, hour, value, before, after, shard) DO UPDATE
SET transitions = cell.transitions + EXCLUDED.transitions
"""

_ADD_MONTHS = """
INSERT INTO lifecycle_flow_months AS cell
       (dimension, month, value, before, after, shard, transitions)
SELECT dimension, month, value, before, after, $25, transitions
FROM unnest($19::text::text[], $20::text::date[], $21::text::text[], $22::text::text[],
            $23::text::text[], $24::text::bigint[])
     WITH ORDINALITY AS given (dimension, month, value, before, after, transitions, place)
ORDER BY place
ON CONFLICT (dimension, month, value, before, after, shard) DO UPDATE
SET transitions = cell.transitions + EXCLUDED.transitions
"""

# All in one: each statement costs a small batch as much as folding its events. Postgres runs the last part first,
# and then the others from the last to the first: the order in which every version wrote the tables.
_ADD = f"""
WITH months AS ({_ADD_MONTHS}), flown AS ({_ADD_FLOWS}), kept AS ({_ADD_RETENTION})
{_ADD_ACTIVE}
"""
_NO_CELLS = ["{}"] * 6  # the columns of any of the tables


class CounterStore:
    """Adds a batch's cells."""

    async def add(self, connection: Connection, cells: Cells, shard: int) -> None:
        """Add the cells to the shard. To be called once, last in the transaction.

        Raises StoreUnavailable.
        """
        flows = flow_cells(cells)
        columns = [
            _active(active_cells(cells)),
            _retention(retention_cells(cells)),
            _flows(flows),
            _months(month_cells(flows)),
        ]
        if any(columns):
            given = [column for of_table in columns for column in of_table or _NO_CELLS]
            with translated():
                await connection.execute(_ADD, *given, shard)


def shard_of(part: int) -> int:
    """Return the shard that a partition's lane adds to."""
    return part % SHARDS


def _active(cells: Mapping[ActiveCell, tuple[int, int]]) -> list[str]:
    if not cells:
        return []
    keys = sorted(cells)
    periods, dimensions, starts, values = zip(*keys, strict=True)
    users, new = zip(*[cells[key] for key in keys], strict=True)
    return [
        word_array(periods),
        word_array(dimensions),
        number_array(starts),
        text_array(values),
        number_array(users),
        number_array(new),
    ]


def _retention(cells: Mapping[RetentionCell, int]) -> list[str]:
    if not cells:
        return []
    keys = sorted(cells)
    periods, dimensions, cohorts, values, ages = zip(*keys, strict=True)
    return [
        word_array(periods),
        word_array(dimensions),
        number_array(cohorts),
        text_array(values),
        number_array(ages),
        number_array([cells[key] for key in keys]),
    ]


def _flows(cells: Mapping[FlowCell, int]) -> list[str]:
    if not cells:
        return []
    keys = sorted(cells)
    dimensions, hours, values, befores, afters = zip(*keys, strict=True)
    return [
        word_array(dimensions),
        instant_array(hours),
        text_array(values),
        text_array(befores),
        word_array(afters),
        number_array([cells[key] for key in keys]),
    ]


def _months(cells: Mapping[MonthCell, int]) -> list[str]:
    if not cells:
        return []
    keys = sorted(cells)
    dimensions, months, values, befores, afters = zip(*keys, strict=True)
    return [
        word_array(dimensions),
        word_array([month.isoformat() for month in months]),
        text_array(values),
        text_array(befores),
        word_array(afters),
        number_array([cells[key] for key in keys]),
    ]
