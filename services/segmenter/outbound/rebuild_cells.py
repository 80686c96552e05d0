"""Counters as stored and as rebuilt, side by side in the order of their cells."""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from services.segmenter.outbound.counter_sql import JOBS_SHARD
from services.segmenter.usecases.rebuild_ports import CellDifference
from shared.database.connection import Connection, translated

FETCHED = 2_000

RIGHT, BEYOND = 0, 1  # shards of the shadow: what the log says, and what stored users say beyond it


@dataclass(frozen=True, slots=True)
class Counter:
    """A table of counters: the columns that make a cell with their types, and those that are summed.

    `which`: the stored cells that are compared.
    """

    table: str
    cell: Mapping[str, str]
    sums: Sequence[str]
    which: str = "true"


_FLOW = {"value": "text", "before": "text", "after": "text"}
# Those that are still counted from the log are not compared.
OF_FUNNELS = Counter(
    "funnel_counts",
    {"funnel_id": "integer", "day": "date", "step": "smallint"},
    ("users",),
    which="funnel_id IN (SELECT funnel_id FROM public.funnels WHERE state = 'live')",
)
COUNTERS = (
    Counter(
        "active_users",
        {"period": "text", "dimension": "text", "start": "date", "value": "text"},
        ("users", "new_users"),
    ),
    Counter(
        "retention",
        {
            "period": "text",
            "dimension": "text",
            "cohort": "date",
            "value": "text",
            "age": "smallint",
        },
        ("users",),
    ),
    Counter(
        "lifecycle_flows",
        {"dimension": "text", "hour": "timestamptz", **_FLOW},
        ("transitions",),
    ),
    Counter(
        "lifecycle_flow_months",
        {"dimension": "text", "month": "date", **_FLOW},
        ("transitions",),
    ),
    OF_FUNNELS,
)


async def compared(
    live: Connection, shadow: Connection, counter: Counter
) -> AsyncIterator[Sequence[CellDifference]]:
    """Yield the cells in which the two differ, some at a time."""
    stored = _Side(live, _stored_sql(counter), len(counter.cell))
    rebuilt = _Side(shadow, _rebuilt_sql(counter), len(counter.cell))
    await stored.advance()
    await rebuilt.advance()
    found: list[CellDifference] = []
    width = len(counter.sums)
    while stored.key is not None or rebuilt.key is not None:
        key = min(each for each in (stored.key, rebuilt.key) if each is not None)
        counts = await stored.take(key, width)
        both = await rebuilt.take(key, 2 * width)
        difference = _difference(counter, key, counts, both)
        if difference.differs or difference.drifted:
            found.append(difference)
        if len(found) == FETCHED:
            yield found
            found = []
    if found:
        yield found


async def correct(
    connection: Connection, counter: Counter, cells: Sequence[CellDifference]
) -> None:
    """Take the drift out of the live cells; what lanes add meanwhile stays."""
    drifted = [each for each in cells if each.drifted]
    if not drifted:
        return
    columns = [[each.cell[name] for each in drifted] for name in counter.cell]
    columns += [[-each.drift[name] for each in drifted] for name in counter.sums]
    with translated():
        await connection.execute(_correct_sql(counter), *columns)


class _Side:
    """One table's cells, read through a cursor: the key of the next one, and its sums."""

    def __init__(self, connection: Connection, query: str, width: int) -> None:
        self._connection = connection
        self._query = query
        self._width = width
        self._cursor: Any = None
        self._rows: list[Any] = []
        self._next = 0
        self.key: tuple[Any, ...] | None = None

    async def advance(self) -> None:
        with translated():
            if self._cursor is None:
                self._cursor = await self._connection.cursor(self._query)
            if self._next == len(self._rows):
                self._rows, self._next = await self._cursor.fetch(FETCHED), 0
        if not self._rows:
            self.key = None
            return
        self.key = tuple(self._rows[self._next])[: self._width]
        self._next += 1

    async def take(self, key: tuple[Any, ...], width: int) -> tuple[int, ...]:
        """Return the sums of the cell, zeros where there is none of that key."""
        if self.key != key:
            return (0,) * width
        sums = tuple(int(each) for each in tuple(self._rows[self._next - 1])[self._width :])
        await self.advance()
        return sums


def _difference(
    counter: Counter, key: tuple[Any, ...], counts: Sequence[int], both: Sequence[int]
) -> CellDifference:
    width = len(counter.sums)
    right, beyond = both[:width], both[width:]
    drift = [stored - said - more for stored, said, more in zip(counts, right, beyond, strict=True)]
    return CellDifference(
        counter.table,
        dict(zip(counter.cell, key, strict=True)),
        dict(zip(counter.sums, counts, strict=True)),
        dict(zip(counter.sums, right, strict=True)),
        dict(zip(counter.sums, drift, strict=True)),
    )


def _stored_sql(counter: Counter) -> str:
    sums = ", ".join(f"sum({name})" for name in counter.sums)
    return _cells_sql(counter, sums, f"public.{counter.table} WHERE {counter.which}")


def _rebuilt_sql(counter: Counter) -> str:
    sums = ", ".join(
        f"coalesce(sum({name}) FILTER (WHERE shard = {shard}), 0)"
        for shard in (RIGHT, BEYOND)
        for name in counter.sums
    )
    return _cells_sql(counter, sums, f"rebuild.{counter.table}")


def _cells_sql(counter: Counter, sums: str, table: str) -> str:
    """Return the query of all cells, in the order in which Python has them, too."""
    order = [
        f'{name} COLLATE "C"' if kind == "text" else name for name, kind in counter.cell.items()
    ]
    return (
        f"SELECT {', '.join(counter.cell)}, {sums} FROM {table}"  # noqa: S608  constants only
        f" GROUP BY {', '.join(counter.cell)} ORDER BY {', '.join(order)}"
    )


def _correct_sql(counter: Counter) -> str:
    columns = {**counter.cell, **dict.fromkeys(counter.sums, "bigint")}
    arrays = ", ".join(f"${place}::{kind}[]" for place, kind in enumerate(columns.values(), 1))
    names = ", ".join(columns)
    added = ", ".join(f"{name} = cell.{name} + EXCLUDED.{name}" for name in counter.sums)
    return (
        f"INSERT INTO public.{counter.table} AS cell (shard, {names})"  # noqa: S608  constants only
        f" SELECT {JOBS_SHARD}, {names} FROM unnest({arrays}) WITH ORDINALITY AS given ({names}, place)"
        f" ORDER BY place"
        f" ON CONFLICT (shard, {', '.join(counter.cell)}) DO UPDATE SET {added}"
    )
