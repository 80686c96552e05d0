"""The application: every router, OpenAPI, probes, and problems for errors."""

from dataclasses import dataclass
from http import HTTPStatus

from fastapi import FastAPI
from fastapi.routing import APIRoute

from services.api.inbound.access import Access, Scope
from services.api.inbound.activity_http import activity_router
from services.api.inbound.alerts_http import alerts_router
from services.api.inbound.answers import Ages
from services.api.inbound.dead_letters_http import dead_letters_router
from services.api.inbound.flows_http import flows_router
from services.api.inbound.funnel_changes_http import funnel_changes_router
from services.api.inbound.funnels_http import funnels_router
from services.api.inbound.job_changes_http import job_changes_router
from services.api.inbound.jobs_http import jobs_router
from services.api.inbound.merges_http import merges_router
from services.api.inbound.policies_http import policies_router
from services.api.inbound.policy_changes_http import policy_changes_router
from services.api.inbound.reconciliations_http import reconciliations_router
from services.api.inbound.retention_http import retention_router
from services.api.inbound.segmenter_http import segmenter_router
from services.api.inbound.tiers_http import tiers_router
from services.api.inbound.transitions_http import transitions_router
from services.api.inbound.users_http import users_router
from services.api.usecases.cancel_jobs import JobChanges
from services.api.usecases.change_policies import PolicyChanges
from services.api.usecases.define_funnels import FunnelDefinitions
from services.api.usecases.ports import Snapshots
from shared.clock import Clock
from shared.http import problems
from shared.http.probes import HealthCheck, probe_routes
from shared.observability.metrics import Metrics

ROUTERS = (
    merges_router,  # before users: an address may go on behind an id, and ids hold slashes
    users_router,
    tiers_router,
    transitions_router,
    alerts_router,
    dead_letters_router,
    segmenter_router,
    funnels_router,
    policies_router,
    jobs_router,
    activity_router,
    retention_router,
    flows_router,
    reconciliations_router,
)

# What any question may be refused with; routes add their own.
REFUSALS = (HTTPStatus.BAD_REQUEST, HTTPStatus.UNAUTHORIZED, HTTPStatus.SERVICE_UNAVAILABLE)


@dataclass(frozen=True, slots=True)
class Changes:
    """What may be changed by way of the api, and the clock that dates it."""

    funnels: FunnelDefinitions
    policies: PolicyChanges
    jobs: JobChanges
    clock: Clock


def build_app(  # noqa: PLR0913  built in one place
    snapshots: Snapshots, changes: Changes, *, access: Access, ages: Ages, ready: HealthCheck,
    live: HealthCheck, metrics: Metrics,
) -> FastAPI:  # fmt: skip
    app = FastAPI(
        title="Ebbtide",
        version="1",
        description="Live user tiers and early warnings. Every answer says how old it is.",
        redirect_slashes=False,
        generate_unique_id_function=_operation_id,
    )
    for router in ROUTERS:
        app.include_router(
            router(snapshots, ages, reader=access.requires(Scope.READ)),
            responses=problems.answers(*REFUSALS),
        )
    writer = access.requires(Scope.WRITE)
    for changing in (
        funnel_changes_router(changes.funnels, changes.clock, writer=writer),
        policy_changes_router(changes.policies, changes.clock, writer=writer),
        job_changes_router(changes.jobs, changes.clock, writer=writer),
    ):
        app.include_router(changing, responses=problems.answers(*REFUSALS, HTTPStatus.FORBIDDEN))
    app.router.routes.extend(probe_routes(live=live, ready=ready, metrics=metrics))
    problems.install(app)
    return app


def _operation_id(route: APIRoute) -> str:
    return route.name
