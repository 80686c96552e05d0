"""Background jobs: one with its progress and result, and pages of them."""

from collections.abc import Callable
from datetime import datetime
from http import HTTPStatus
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, Query
from pydantic import BaseModel, Field

from services.api.domain.policies import JobState, JobView
from services.api.inbound.answers import (
    Ages,
    Answer,
    Cursor,
    Limit,
    NoParameters,
    Text,
    next_cursor,
)
from services.api.inbound.places import uuid_place_behind
from services.api.usecases.change_policies import JobFilter
from services.api.usecases.ports import Snapshots
from shared.http.problems import Problem, answers

_LISTING = "jobs"


class JobProgress(BaseModel):
    """How much of it is done, in the kind's own unit; the total is null until it is known."""

    done: int
    total: int | None


class Job(BaseModel):
    """Work in the background. `result` is null until the job is done.

    `error` says why it failed, or who cancelled it; null otherwise.
    """

    job_id: UUID
    kind: str
    state: JobState
    argument: dict[str, Any]
    progress: JobProgress
    result: dict[str, Any] | None
    error: str | None
    requested_by: str = Field(description="name of the key, or of the service, that asked for it")
    created_at: datetime
    updated_at: datetime


class OneJob(Answer, Job):
    """One job and the answer's age."""


class Jobs(Answer):
    """A page of jobs, newest first."""

    jobs: list[Job]
    next_cursor: str | None


class Asked(BaseModel, extra="forbid"):
    """The parameters of the list."""

    kind: Text | None = None
    state: JobState | None = None
    cursor: Cursor = None
    limit: Limit = 100


def jobs_router(snapshots: Snapshots, ages: Ages, *, reader: Callable[..., object]) -> APIRouter:
    router = APIRouter(tags=["jobs"], dependencies=[Depends(reader)])

    @router.get("/v1/jobs")
    async def list_jobs(asked: Annotated[Asked, Query()]) -> Jobs:
        """Return a page of jobs, newest first."""
        behind = uuid_place_behind(_LISTING, asked.cursor)
        wanted = JobFilter(asked.kind, asked.state)
        async with snapshots.open() as snapshot:
            rows = await snapshot.policy_shelf.jobs(wanted, behind=behind, limit=asked.limit)
            age = await ages.of(snapshot)
        return Jobs(
            jobs=[shown(row) for row in rows],
            next_cursor=next_cursor(_LISTING, rows, asked.limit, "created_at", "job_id"),
            **age,
        )

    @router.get("/v1/jobs/{job_id}", responses=answers(HTTPStatus.NOT_FOUND))
    async def get_job(job_id: UUID, _: Annotated[NoParameters, Query()]) -> OneJob:
        """Return one job with its progress, and its result once it is done."""
        async with snapshots.open() as snapshot:
            found = await snapshot.policy_shelf.job(job_id)
            age = await ages.of(snapshot)
        if found is None:
            raise unknown_job()
        return OneJob(**shown(found).model_dump(), **age)

    return router


def unknown_job() -> Problem:
    return Problem(HTTPStatus.NOT_FOUND, "unknown_job", "no job has this id", field="job_id")


def shown(view: JobView) -> Job:
    return Job(
        job_id=view.job_id,
        kind=view.kind,
        state=view.state,
        argument=dict(view.argument),
        progress=JobProgress(done=view.progress_done, total=view.progress_total),
        result=dict(view.result) if view.result and view.state is JobState.DONE else None,
        error=view.error,
        requested_by=view.requested_by,
        created_at=view.created_at,
        updated_at=view.updated_at,
    )
