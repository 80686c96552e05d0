"""Cancel background jobs."""

from collections.abc import Callable
from http import HTTPStatus
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Request

from services.api.domain.jobs import JobEnded, JobNeeded, UnknownJob
from services.api.inbound.access import Principal
from services.api.inbound.answers import NoParameters
from services.api.inbound.jobs_http import Job, shown, unknown_job
from services.api.inbound.json_bodies import read_no_body
from services.api.usecases.cancel_jobs import JobChanges
from shared.clock import Clock
from shared.http.problems import Problem, answers

_REFUSED = answers(HTTPStatus.NOT_FOUND, HTTPStatus.CONFLICT, HTTPStatus.REQUEST_ENTITY_TOO_LARGE)


def job_changes_router(
    changes: JobChanges, clock: Clock, *, writer: Callable[..., Principal]
) -> APIRouter:
    router = APIRouter(tags=["jobs"])
    asking = Depends(writer)

    @router.post("/v1/jobs/{job_id}/cancel", responses=_REFUSED)
    async def cancel_job(
        job_id: UUID,
        request: Request,
        _: Annotated[NoParameters, Query()],
        who: Principal = asking,
    ) -> Job:
        """End a job: one that waits at once, one that runs before its next step."""
        await read_no_body(request)
        try:
            return shown(await changes.cancel(job_id, by=who.name, now=clock.now()))
        except UnknownJob:
            raise unknown_job() from None
        except JobEnded as error:
            raise Problem(HTTPStatus.CONFLICT, "job_ended", str(error)) from None
        except JobNeeded as error:
            raise Problem(HTTPStatus.CONFLICT, "job_needed", str(error)) from None

    return router
