"""Policies: the thresholds that hold, those that held, and drafts."""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query
from pydantic import BaseModel, Field, WithJsonSchema

from services.api.domain.policies import PolicyView, active_of
from services.api.inbound.answers import Ages, Answer, NoParameters
from services.api.usecases.ports import Snapshots
from shared.http.problems import Problem, answers

Version = Annotated[int, Path(ge=1, le=2**31 - 1)]
Seconds = Annotated[int | float, WithJsonSchema({"type": "number"})]


class PolicyState(StrEnum):
    """What a policy is: not activated yet, the one that holds, or one that held."""

    DRAFT = "draft"
    ACTIVE = "active"
    PAST = "past"


class Policy(BaseModel):
    """Thresholds in seconds, who wrote them and why, and since when they hold."""

    version: int
    state: PolicyState
    new_for_s: Seconds
    silent_after_s: Seconds
    churned_after_s: Seconds
    returned_for_s: Seconds
    note: str
    created_by: str
    created_at: datetime
    activated_at: datetime | None = Field(description="null: a draft")
    activated_by: str | None
    activated_note: str | None


class OnePolicy(Answer, Policy):
    """One policy and the answer's age."""


class Policies(Answer):
    """Every policy, the newest version first."""

    active_version: int
    policies: list[Policy]


def policies_router(
    snapshots: Snapshots, ages: Ages, *, reader: Callable[..., object]
) -> APIRouter:
    router = APIRouter(tags=["policies"], dependencies=[Depends(reader)])

    @router.get("/v1/policies")
    async def list_policies(_: Annotated[NoParameters, Query()]) -> Policies:
        """Return every policy."""
        async with snapshots.open() as snapshot:
            found = await snapshot.policy_shelf.policies()
            age = await ages.of(snapshot)
        return Policies(
            active_version=active_of(found).version,
            policies=[shown(each, found) for each in found],
            **age,
        )

    @router.get("/v1/policies/{version}", responses=answers(HTTPStatus.NOT_FOUND))
    async def get_policy(version: Version, _: Annotated[NoParameters, Query()]) -> OnePolicy:
        """Return one policy."""
        async with snapshots.open() as snapshot:
            known = await snapshot.policy_shelf.policies()
            age = await ages.of(snapshot)
        found = next((each for each in known if each.version == version), None)
        if found is None:
            raise unknown_policy()
        return OnePolicy(**shown(found, known).model_dump(), **age)

    return router


def unknown_policy() -> Problem:
    return Problem(
        HTTPStatus.NOT_FOUND, "unknown_policy", "no policy has this version", field="version"
    )


def shown(view: PolicyView, known: Sequence[PolicyView]) -> Policy:
    """Return a policy as it is shown among all that are known."""
    state = PolicyState.DRAFT
    if view.activated_at is not None:
        active = view.version == active_of(known).version
        state = PolicyState.ACTIVE if active else PolicyState.PAST
    return policy_in(state, view)


def policy_in(state: PolicyState, view: PolicyView) -> Policy:
    thresholds = view.thresholds
    return Policy(
        version=view.version,
        state=state,
        new_for_s=_seconds(thresholds.new_for),
        silent_after_s=_seconds(thresholds.silent_after),
        churned_after_s=_seconds(thresholds.churned_after),
        returned_for_s=_seconds(thresholds.returned_for),
        note=view.note,
        created_by=view.created_by,
        created_at=view.created_at,
        activated_at=view.activated_at,
        activated_by=view.activated_by,
        activated_note=view.activated_note,
    )


def _seconds(span: timedelta) -> int | float:
    """Return a whole number where it is one, as they are sent."""
    seconds = span.total_seconds()
    return int(seconds) if seconds.is_integer() else seconds
