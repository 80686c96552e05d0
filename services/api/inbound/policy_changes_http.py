"""Draft, preview, activate and roll back policies."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from http import HTTPStatus
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic import AfterValidator, BaseModel, Field, StrictBool, StrictInt

from services.api.domain.policies import (
    AlreadyActivated,
    BadInstant,
    NeverActivated,
    PolicyOutdated,
    PolicyUnchanged,
    UnknownPolicy,
)
from services.api.domain.previews import NotPreviewed
from services.api.inbound import jobs_http
from services.api.inbound.access import Principal
from services.api.inbound.answers import Instant, NoParameters, Words, in_product_time
from services.api.inbound.jobs_http import Job
from services.api.inbound.json_bodies import OR_WITH_A_POINT, described_as, read_body, read_no_body
from services.api.inbound.policies_http import (
    Policy,
    PolicyState,
    Version,
    policy_in,
    unknown_policy,
)
from services.api.usecases.change_policies import Doing, PolicyChanges
from shared.clock import Clock
from shared.http.problems import Problem, answers
from shared.thresholds import LONGEST, InvalidThresholds, Thresholds

Seconds = Annotated[StrictInt, Field(ge=1, le=int(LONGEST.total_seconds())), OR_WITH_A_POINT]
_REFUSED = answers(HTTPStatus.NOT_FOUND, HTTPStatus.CONFLICT, HTTPStatus.REQUEST_ENTITY_TOO_LARGE)


class PolicyToDraft(BaseModel, extra="forbid"):
    """A policy as it is sent."""

    new_for_s: Seconds
    silent_after_s: Seconds
    churned_after_s: Seconds
    returned_for_s: Seconds
    note: Words = Field(description="what it is for")

    def thresholds(self) -> Thresholds:
        """Raises Problem."""
        seconds = (
            self.new_for_s,
            self.silent_after_s,
            self.churned_after_s,
            self.returned_for_s,
        )
        try:
            return Thresholds(*(timedelta(seconds=each) for each in seconds))
        except InvalidThresholds as error:
            field = f"{error.field}_s"
            raise Problem(
                HTTPStatus.BAD_REQUEST, "invalid_field", f"{field}: {error.reason}", field=field
            ) from None


class PolicyToActivate(BaseModel, extra="forbid"):
    """Why a policy is activated."""

    note: Words = Field(description="why")
    force: StrictBool = Field(
        False, description="also without a preview that says something about it"
    )


class PolicyToRollBackTo(BaseModel, extra="forbid"):
    """Why a policy is gone back to."""

    note: Words = Field(description="why")


class PreviewAsked(BaseModel, extra="forbid"):
    """The parameters of a preview."""

    at: Annotated[Instant, AfterValidator(in_product_time)] | None = Field(
        None, description="as if activated then; unset: now"
    )


class ActivatedPolicy(Policy):
    """The policy that holds from now on, and the job that brings every user up to it."""

    job_id: UUID


def policy_changes_router(
    changes: PolicyChanges, clock: Clock, *, writer: Callable[..., Principal]
) -> APIRouter:
    router = APIRouter(tags=["policies"])
    _drafts(router, changes, clock, asking=Depends(writer))
    _activations(router, changes, clock, asking=Depends(writer))
    return router


def _drafts(router: APIRouter, changes: PolicyChanges, clock: Clock, *, asking: Any) -> None:
    @router.post(
        "/v1/policies",
        status_code=HTTPStatus.CREATED,
        responses=answers(HTTPStatus.CONFLICT, HTTPStatus.REQUEST_ENTITY_TOO_LARGE),
        openapi_extra=described_as(PolicyToDraft),
    )
    async def draft_policy(
        request: Request,
        response: Response,
        _: Annotated[NoParameters, Query()],
        who: Principal = asking,
    ) -> Policy:
        """Draft a policy. Nothing changes until it is activated."""
        asked = await read_body(request, PolicyToDraft)
        with _refusals():
            made = await changes.draft(asked.thresholds(), Doing(who.name, clock.now(), asked.note))
        response.headers["location"] = f"/v1/policies/{made.version}"
        return policy_in(PolicyState.DRAFT, made)

    @router.post(
        "/v1/policies/{version}/preview",
        status_code=HTTPStatus.ACCEPTED,
        responses=_REFUSED,
    )
    async def preview_policy(
        version: Version,
        request: Request,
        response: Response,
        asked: Annotated[PreviewAsked, Query()],
        who: Principal = asking,
    ) -> Job:
        """Have it counted what the policy would make of every user, in a job."""
        await read_no_body(request)
        with _refusals():
            job = await changes.preview(version, Doing(who.name, clock.now()), at=asked.at)
        response.headers["location"] = f"/v1/jobs/{job.job_id}"
        return jobs_http.shown(job)


def _activations(router: APIRouter, changes: PolicyChanges, clock: Clock, *, asking: Any) -> None:
    @router.post(
        "/v1/policies/{version}/activate",
        responses=_REFUSED,
        openapi_extra=described_as(PolicyToActivate),
    )
    async def activate_policy(
        version: Version,
        request: Request,
        _: Annotated[NoParameters, Query()],
        who: Principal = asking,
    ) -> ActivatedPolicy:
        """Let the policy hold from now on, and have every user brought up to it, in a job."""
        asked = await read_body(request, PolicyToActivate)
        with _refusals():
            policy, job = await changes.activate(
                version, Doing(who.name, clock.now(), asked.note), force=asked.force
            )
        shown = policy_in(PolicyState.ACTIVE, policy)
        return ActivatedPolicy(**shown.model_dump(), job_id=job.job_id)

    @router.post(
        "/v1/policies/{version}/rollback",
        status_code=HTTPStatus.CREATED,
        responses=_REFUSED,
        openapi_extra=described_as(PolicyToRollBackTo),
    )
    async def roll_back_policy(
        version: Version,
        request: Request,
        response: Response,
        _: Annotated[NoParameters, Query()],
        who: Principal = asking,
    ) -> ActivatedPolicy:
        """Let the thresholds of a policy that held before hold again, as a new version."""
        asked = await read_body(request, PolicyToRollBackTo)
        with _refusals():
            policy, job = await changes.roll_back(version, Doing(who.name, clock.now(), asked.note))
        response.headers["location"] = f"/v1/policies/{policy.version}"
        shown = policy_in(PolicyState.ACTIVE, policy)
        return ActivatedPolicy(**shown.model_dump(), job_id=job.job_id)


@contextmanager
def _refusals() -> Iterator[None]:
    """Raise problems in place of what the policies refuse."""
    try:
        yield
    except UnknownPolicy:
        raise unknown_policy() from None
    except BadInstant as error:
        raise Problem(
            HTTPStatus.BAD_REQUEST, "invalid_parameter", f"at: {error}", field="at"
        ) from None
    except PolicyUnchanged as error:
        raise Problem(HTTPStatus.CONFLICT, "policy_unchanged", str(error)) from None
    except AlreadyActivated as error:
        raise Problem(HTTPStatus.CONFLICT, "policy_activated", str(error)) from None
    except NeverActivated as error:
        raise Problem(HTTPStatus.CONFLICT, "policy_never_activated", str(error)) from None
    except PolicyOutdated as error:
        raise Problem(HTTPStatus.CONFLICT, "policy_outdated", str(error)) from None
    except NotPreviewed as error:
        raise Problem(HTTPStatus.CONFLICT, "policy_not_previewed", str(error)) from None
