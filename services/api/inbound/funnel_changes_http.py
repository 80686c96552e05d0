"""Define and delete funnels."""

from collections.abc import Callable
from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic import BaseModel

from services.api.domain.funnels import FunnelDefinition
from services.api.inbound.access import Principal
from services.api.inbound.answers import NoParameters
from services.api.inbound.funnel_models import FunnelToDefine
from services.api.inbound.funnels_http import Funnel, FunnelId, shown, unknown_funnel
from services.api.inbound.json_bodies import described_as, read_body
from services.api.usecases.define_funnels import (
    FunnelDefinitions,
    FunnelNameTaken,
    TooManyFunnels,
)
from shared.clock import Clock
from shared.http.problems import Problem, answers


class FunnelBeingDeleted(BaseModel):
    """A funnel that counts no more. What it counted is removed in the background."""

    funnel_id: int
    state: str


def funnel_changes_router(
    definitions: FunnelDefinitions, clock: Clock, *, writer: Callable[..., Principal]
) -> APIRouter:
    router = APIRouter(tags=["funnels"])
    asking = Depends(writer)

    @router.post(
        "/v1/funnels",
        status_code=HTTPStatus.CREATED,
        responses=answers(HTTPStatus.CONFLICT, HTTPStatus.REQUEST_ENTITY_TOO_LARGE),
        openapi_extra=described_as(FunnelToDefine),
    )
    async def define_funnel(
        request: Request,
        response: Response,
        _: Annotated[NoParameters, Query()],
        who: Principal = asking,
    ) -> Funnel:
        """Define a funnel: it counts what comes from now on, and is back-filled from the event log."""
        asked = await read_body(request, FunnelToDefine)
        wanted = FunnelDefinition(asked.name, asked.stored_steps(), asked.window_s)
        try:
            made = await definitions.define(wanted, by=who.name, now=clock.now())
        except FunnelNameTaken as error:
            raise Problem(
                HTTPStatus.CONFLICT, "funnel_name_taken", f"name: {error}", field="name"
            ) from None
        except TooManyFunnels as error:
            raise Problem(HTTPStatus.CONFLICT, "too_many_funnels", str(error)) from None
        response.headers["location"] = f"/v1/funnels/{made.funnel_id}"
        return shown(made)

    @router.delete(
        "/v1/funnels/{funnel_id}",
        status_code=HTTPStatus.ACCEPTED,
        responses=answers(HTTPStatus.NOT_FOUND),
    )
    async def delete_funnel(
        funnel_id: FunnelId, _: Annotated[NoParameters, Query()], who: Principal = asking
    ) -> FunnelBeingDeleted:
        """Delete a funnel and what it counted."""
        if not await definitions.delete(funnel_id, by=who.name, now=clock.now()):
            raise unknown_funnel()
        return FunnelBeingDeleted(funnel_id=funnel_id, state="deleting")

    return router
