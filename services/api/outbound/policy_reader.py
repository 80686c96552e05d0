"""Policies, and the jobs that work in the background."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, select
from sqlalchemy.ext.asyncio import AsyncConnection

from services.api.domain.policies import JobState, JobView, PolicyView
from services.api.domain.previews import Preview
from services.api.outbound.pages import page
from services.api.usecases.change_policies import JobFilter
from services.api.usecases.ports import At
from shared.database.tables.jobs import jobs as job_table
from shared.database.tables.policies import policies as table
from shared.thresholds import Thresholds

_POLICY: Sequence[Any] = (
    table.c.version,
    table.c.new_for,
    table.c.silent_after,
    table.c.churned_after,
    table.c.returned_for,
    table.c.note,
    table.c.created_by,
    table.c.created_at,
    table.c.activated_at,
    table.c.activated_by,
    table.c.activated_note,
)
_JOB: Sequence[Any] = (
    job_table.c.job_id,
    job_table.c.kind,
    job_table.c.state,
    job_table.c.argument,
    job_table.c.progress_done,
    job_table.c.progress_total,
    job_table.c.result,
    job_table.c.error,
    job_table.c.requested_by,
    job_table.c.created_at,
    job_table.c.updated_at,
)


class PostgresPolicyShelf:
    """Keeps the port `PolicyShelf` on one connection, inside its transaction."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def policies(self) -> Sequence[PolicyView]:
        rows = await self._connection.execute(select(*_POLICY).order_by(table.c.version.desc()))
        return [_policy(row) for row in rows]

    async def job(self, job_id: UUID) -> JobView | None:
        rows = await self._connection.execute(select(*_JOB).where(job_table.c.job_id == job_id))
        row = rows.first()
        return None if row is None else _job(row)

    async def jobs(self, wanted: JobFilter, *, behind: At | None, limit: int) -> Sequence[JobView]:
        conditions: list[ColumnElement[bool]] = []
        if wanted.kind is not None:
            conditions.append(job_table.c.kind == wanted.kind)
        if wanted.state is not None:
            conditions.append(job_table.c.state == wanted.state)
        rows = await self._connection.execute(
            page(
                select(*_JOB).where(*conditions),
                at=job_table.c.created_at,
                key=job_table.c.job_id,
                behind=behind,
                limit=limit,
            )
        )
        return [_job(row) for row in rows]

    async def previews_of(self, version: int) -> Sequence[Preview]:
        """Return the previews of a policy that are kept, done or not."""
        argument = job_table.c.argument
        rows = await self._connection.execute(
            select(
                job_table.c.job_id,
                job_table.c.state,
                argument["against"].as_integer(),
                argument["at"].as_string(),
                job_table.c.updated_at,
            ).where(
                job_table.c.kind == "policy_preview",
                argument["version"].as_integer() == version,
            )
        )
        return [
            Preview(job_id, JobState(state), against, datetime.fromisoformat(at), changed_at)
            for job_id, state, against, at, changed_at in rows
        ]


def _policy(row: Sequence[Any]) -> PolicyView:
    return PolicyView(row[0], Thresholds(*row[1:5]), *row[5:])


def _job(row: Sequence[Any]) -> JobView:
    return JobView(row[0], row[1], JobState(row[2]), *row[3:])
