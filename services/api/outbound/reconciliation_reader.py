"""What was recounted, and where it differed."""

from collections.abc import Sequence

from sqlalchemy import ColumnElement, select
from sqlalchemy.ext.asyncio import AsyncConnection

from services.api.usecases.counter_ports import Difference, Reconciliation
from shared.database.tables.counters import reconciliation_differences as differences
from shared.database.tables.counters import reconciliations as table


async def reconciliations(
    connection: AsyncConnection, *, behind: int | None, limit: int, differing: bool | None
) -> Sequence[Reconciliation]:
    conditions: list[ColumnElement[bool]] = []
    if behind is not None:
        conditions.append(table.c.reconciliation_id < behind)
    if differing is not None:
        found = table.c.users_differing + table.c.cells_differing
        conditions.append(found > 0 if differing else found == 0)
    rows = await connection.execute(
        select(
            table.c.reconciliation_id,
            table.c.at,
            table.c.users_checked,
            table.c.users_skipped,
            table.c.users_differing,
            table.c.cells_checked,
            table.c.cells_differing,
        )
        .where(*conditions)
        .order_by(table.c.reconciliation_id.desc())
        .limit(limit)
    )
    runs = list(rows)
    of_run = await _differences(connection, [run.reconciliation_id for run in runs])
    return [Reconciliation(*run, of_run.get(run.reconciliation_id, ())) for run in runs]


async def _differences(
    connection: AsyncConnection, ids: Sequence[int]
) -> dict[int, list[Difference]]:
    rows = await connection.execute(
        select(
            differences.c.reconciliation_id,
            differences.c.kind,
            differences.c.subject,
            differences.c.field,
            differences.c.stored,
            differences.c.recounted,
        )
        .where(differences.c.reconciliation_id.in_(list(ids)))
        .order_by(differences.c.difference_id)
    )
    found: dict[int, list[Difference]] = {}
    for reconciliation_id, *rest in rows:
        found.setdefault(reconciliation_id, []).append(Difference(*rest))
    return found
