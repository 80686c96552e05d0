"""The background jobs of funnels: to count a new one from the event log, and to remove a deleted one."""

from collections.abc import Callable
from datetime import datetime
from typing import TypeVar

from services.segmenter.domain.funnel_depth import DayOf
from services.segmenter.usecases.backfill_funnel import (
    PAGES,
    FunnelLog,
    Stage,
    backfill_step,
    read_cursor,
    write_cursor,
)
from services.segmenter.usecases.delete_funnel import (
    CHUNK,
    FunnelRemains,
    delete_step,
    read_remaining,
    write_remaining,
)
from services.segmenter.usecases.fold_funnels import FunnelStore
from services.segmenter.usecases.run_jobs import Job, Stepped
from shared.database.connection import Connection

BACKFILL = "backfill_funnel"
DELETE = "delete_funnel"

# Pages of the event log (8 KiB) a second, and rows a second: the lanes come first.
PAGES_PER_S = 1_000.0
ROWS_PER_S = 20_000.0

P = TypeVar("P")
On = Callable[[Connection], P]


class BackfillFunnel:
    """Keeps `JobKind`. Argument: `funnel_id`."""

    rate = PAGES_PER_S

    def __init__(self, *, logs: On[FunnelLog], stores: On[FunnelStore], day_of: DayOf) -> None:
        self._logs = logs
        self._stores = stores
        self._day_of = day_of

    async def prepare(self) -> None:
        """Nothing: it writes into no partitioned table."""

    async def step(self, transaction: Connection, job: Job, *, now: datetime) -> Stepped:  # noqa: ARG002  of the port
        cursor = None if job.cursor is None else read_cursor(job.cursor)
        stepped = await backfill_step(
            job.argument["funnel_id"],
            cursor,
            log=self._logs(transaction),
            store=self._stores(transaction),
            day_of=self._day_of,
        )
        after = stepped.cursor
        if after is None:
            return Stepped(None, job.total or 0, job.total)
        walked = cursor is not None and cursor.stage is Stage.WALKING
        return Stepped(
            write_cursor(after).decode(),
            after.done,
            None if after.stage is Stage.WAITING else after.total,
            work=PAGES if walked else 0,
            waits=stepped.waits,
        )


class DeleteFunnel:
    """Keeps `JobKind`. Argument: `funnel_id`."""

    rate = ROWS_PER_S

    def __init__(self, *, remains: On[FunnelRemains], chunk: int = CHUNK) -> None:
        self._remains = remains
        self._chunk = chunk

    async def prepare(self) -> None:
        """Nothing: it writes into no partitioned table."""

    async def step(self, transaction: Connection, job: Job, *, now: datetime) -> Stepped:  # noqa: ARG002  of the port
        before = None if job.cursor is None else read_remaining(job.cursor)
        after, waits = await delete_step(
            job.argument["funnel_id"], before, remains=self._remains(transaction), chunk=self._chunk
        )
        if after is None:
            return Stepped(None, job.done, job.done)
        work = after.removed - job.done
        return Stepped(write_remaining(after).decode(), after.removed, None, work=work, waits=waits)
