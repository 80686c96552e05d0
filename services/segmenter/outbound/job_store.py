"""Jobs in Postgres, as one worker takes them and works on them."""

import json
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from services.segmenter.outbound import zones
from services.segmenter.usecases.run_jobs import Job, Stepped
from shared.database import session
from shared.database.connection import Connection, translated

# Longer than any step and any rest between two: whoever has not renewed it by then is gone.
LEASE_S = 10.0

_TAKE = """
UPDATE jobs SET state = 'running', worker = $2, updated_at = $4,
                leased_until = clock_timestamp() + make_interval(secs => $3)
WHERE job_id = (
    SELECT job_id FROM jobs
    WHERE kind = ANY ($1::text[])
      AND (state = 'waiting' OR state = 'running' AND leased_until < clock_timestamp())
    ORDER BY created_at, job_id LIMIT 1 FOR UPDATE SKIP LOCKED
)
RETURNING job_id, kind
"""

_HOLD = """
SELECT job_id, kind, argument, cursor, progress_done, progress_total, result FROM jobs
WHERE job_id = $1 AND worker = $2 AND state = 'running' FOR UPDATE
"""

_KEEP = """
UPDATE jobs SET cursor = $2, progress_done = $3, progress_total = $4, result = $5::jsonb, updated_at = $6,
                state = CASE WHEN $2::text IS NULL THEN 'done' ELSE state END,
                leased_until = clock_timestamp() + make_interval(secs => $7)
WHERE job_id = $1
"""

_FAIL = """
UPDATE jobs SET state = 'failed', error = $3, updated_at = $4
WHERE job_id = $1 AND worker = $2 AND state = 'running'
"""

_RELEASE = """
UPDATE jobs SET leased_until = clock_timestamp()
WHERE job_id = $1 AND worker = $2 AND state = 'running'
"""


@dataclass(frozen=True, slots=True)
class HeldJob:
    """Keeps the port `Held`."""

    job: Job
    transaction: Connection

    async def keep(self, stepped: Stepped, *, now: datetime) -> None:
        with translated():
            await self.transaction.execute(
                _KEEP,
                self.job.job_id,
                stepped.cursor,
                stepped.done,
                stepped.total,
                None if stepped.result is None else json.dumps(stepped.result),
                now,
                LEASE_S,
            )


class PostgresJobs:
    """Keeps the port `JobDesk`, on a connection of its own. `zone`: in whose days its jobs count."""

    def __init__(self, connection: Connection, *, worker: str, zone: str | None = None) -> None:
        self._connection = connection
        self._worker = worker
        self._zone = zone

    async def take(self, kinds: Collection[str], *, now: datetime) -> tuple[UUID, str] | None:
        with translated():
            row = await self._connection.fetchrow(_TAKE, list(kinds), self._worker, LEASE_S, now)
        return None if row is None else (row["job_id"], row["kind"])

    @asynccontextmanager
    async def hold(self, job_id: UUID) -> AsyncIterator[HeldJob | None]:
        with translated():
            async with self._connection.transaction():
                row = await self._connection.fetchrow(_HOLD, job_id, self._worker)
                if row is not None and self._zone is not None:
                    await zones.stand_by(self._connection, self._zone)
                yield None if row is None else HeldJob(_job_of(row), self._connection)

    async def fail(self, job_id: UUID, why: str, *, now: datetime) -> None:
        with translated():
            await self._connection.execute(_FAIL, job_id, self._worker, why[:2_000], now)

    async def release(self, job_id: UUID) -> None:
        with translated():
            await self._connection.execute(_RELEASE, job_id, self._worker)


@asynccontextmanager
async def opened(dsn: str, *, worker: str, zone: str | None = None) -> AsyncIterator[PostgresJobs]:
    """Open a desk on a connection of its own. Raises StoreUnavailable."""
    connection = await session.connect(dsn, worker=worker)
    try:
        yield PostgresJobs(connection, worker=worker, zone=zone)
    finally:
        await session.close(connection)


def _job_of(row: Any) -> Job:
    result = row["result"]
    return Job(
        row["job_id"],
        row["kind"],
        json.loads(row["argument"]),
        row["cursor"],
        row["progress_done"],
        row["progress_total"],
        None if result is None else json.loads(result),
    )
