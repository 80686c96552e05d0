"""Jobs that are cancelled, through the pool of those who change policies."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from services.api.domain import jobs as kinds
from services.api.domain.jobs import JobEnded, UnknownJob, check_cancellable, check_open
from services.api.domain.policies import JobView
from services.api.outbound.policy_reader import PostgresPolicyShelf
from services.api.outbound.snapshots import translated_errors

# Whose row a step holds waits here for the end of the step: it is kept whole.
_CANCEL = text("SELECT cancel_job(:job_id, :by, :now)")

# Whatever these answer no to stays so. A later activation's own job brings everybody up; one that failed or was
# cancelled does not.
_NEEDED = {
    kinds.APPLY: text("""
        SELECT NOT EXISTS (
            SELECT FROM jobs later
            WHERE later.kind = 'policy_apply' AND later.state IN ('waiting', 'running', 'done')
              AND CAST(later.argument ->> 'version' AS integer) > CAST(this.argument ->> 'version' AS integer)
        ) FROM jobs this WHERE this.job_id = :job_id
    """),
    kinds.BACKFILL: text("""
        SELECT EXISTS (
            SELECT FROM funnels
            WHERE funnel_id = CAST(this.argument ->> 'funnel_id' AS integer) AND state <> 'deleting'
        ) FROM jobs this WHERE this.job_id = :job_id
    """),
}


class PostgresJobChanges:
    """Keeps the port `JobChanges`, on a pool that somebody else closes."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def cancel(self, job_id: UUID, *, by: str, now: datetime) -> JobView:
        with translated_errors():
            async with self._engine.connect() as connection, connection.begin():
                job = await _known(connection, job_id)
                check_cancellable(job, needed=await _is_needed(connection, job))
                given = {"job_id": job_id, "by": by, "now": now}
                cancelled = (await connection.execute(_CANCEL, given)).scalar_one()
                after = await _known(connection, job_id)
                if not cancelled:
                    check_open(after)
                    raise JobEnded("the job ended meanwhile")
                return after


async def _known(connection: AsyncConnection, job_id: UUID) -> JobView:
    job = await PostgresPolicyShelf(connection).job(job_id)
    if job is None:
        raise UnknownJob("no job has this id")
    return job


async def _is_needed(connection: AsyncConnection, job: JobView) -> bool:
    """Say whether something rests on the job's end."""
    if (question := _NEEDED.get(job.kind)) is None:
        return True
    return bool((await connection.execute(question, {"job_id": job.job_id})).scalar_one())
