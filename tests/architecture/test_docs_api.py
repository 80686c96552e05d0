"""docs/api.md shows every route, parameter and field of the application, and no other."""

import json
import re
from collections.abc import AsyncIterator
from typing import cast
from uuid import UUID

import httpx
import pytest
import pytest_asyncio
from fastapi.routing import APIRoute
from prometheus_client import CollectorRegistry
from pydantic import BaseModel

from services.api.inbound.access import Access, Scope
from services.api.inbound.answers import Ages
from services.api.inbound.app import ROUTERS, Changes, build_app
from services.api.inbound.funnel_changes_http import FunnelBeingDeleted, funnel_changes_router
from services.api.inbound.funnel_models import FunnelCondition, FunnelStep, FunnelToDefine
from services.api.inbound.job_changes_http import job_changes_router
from services.api.inbound.jobs_http import Job
from services.api.inbound.policy_changes_http import (
    ActivatedPolicy,
    PolicyToActivate,
    PolicyToDraft,
    PolicyToRollBackTo,
    policy_changes_router,
)
from services.api.usecases.cancel_jobs import JobChanges
from services.api.usecases.change_policies import PolicyChanges
from services.api.usecases.define_funnels import FunnelDefinitions
from services.api.usecases.ports import Snapshots
from shared.clock import SystemClock
from shared.http.keys import KeyBook
from shared.http.probes import Health
from shared.observability.metrics import Metrics
from tests.architecture.docs_page import ROOT, Page, blocks, json_blocks, names, rows

PAGE = Page("api.md")
KEY = "a-key-of-the-tests"
# Made from the words of a status.
FROM_STATUS = {"not_found", "method_not_allowed"}


SNAPSHOTS = cast("Snapshots", object())  # never asked: every request here is refused before
METRICS = Metrics(CollectorRegistry())
ACCESS = Access(KeyBook({KEY: "tests"}))
AGES = Ages(SystemClock(), METRICS)
FUNNELS = cast("FunnelDefinitions", object())
POLICIES = cast("PolicyChanges", object())
JOBS = cast("JobChanges", object())
APP = build_app(
    SNAPSHOTS,
    Changes(FUNNELS, POLICIES, JOBS, SystemClock()),
    access=ACCESS,
    ages=AGES,
    ready=lambda: Health(ok=True),
    live=lambda: Health(ok=True),
    metrics=METRICS,
)
# Made as the application makes them: it no longer shows the routes of its routers.
ROUTES = [
    route
    for router in ROUTERS
    for route in router(SNAPSHOTS, AGES, reader=ACCESS.requires(Scope.READ)).routes
    if isinstance(route, APIRoute)
]
WRITER = ACCESS.requires(Scope.WRITE)
ACTS = [
    route
    for router in (
        funnel_changes_router(FUNNELS, SystemClock(), writer=WRITER),
        policy_changes_router(POLICIES, SystemClock(), writer=WRITER),
        job_changes_router(JOBS, SystemClock(), writer=WRITER),
    )
    for route in router.routes
    if isinstance(route, APIRoute)
]
each_act = pytest.mark.parametrize("act", ACTS, ids=lambda act: act.name)
each_route = pytest.mark.parametrize("route", ROUTES, ids=lambda route: route.path)


def documented_path(route: APIRoute) -> str:
    return route.path.replace(":path", "")


@pytest_asyncio.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app=APP), base_url="http://api"
    ) as made:
        yield made


def test_every_route_is_on_the_page_and_no_other() -> None:
    described: dict[str, dict[str, object]] = APP.openapi()["paths"]
    served = {f"{method.upper()} {path}" for path, each in described.items() for method in each}

    assert {each for each in PAGE.headings() if "/v1" in each} == served
    assert {documented_path(route) for route in (*ROUTES, *ACTS)} == set(described)


@each_route
def test_every_parameter_is_on_the_page_and_no_other(route: APIRoute) -> None:
    path = documented_path(route)
    described = APP.openapi()["paths"][path]["get"].get("parameters", [])

    shown = [name for row in rows(PAGE.section(f"## GET {path}")) for name in names(row[0])]
    assert sorted(shown) == sorted(each["name"] for each in described)


@each_route
def test_the_example_is_an_answer_with_every_field(route: APIRoute) -> None:
    [block] = blocks(PAGE.section(f"## GET {documented_path(route)}"), "json")
    model = route.response_model
    assert issubclass(model, BaseModel)

    understood = model.model_validate_json(block)

    assert json.loads(understood.model_dump_json()) == json.loads(block)


def test_the_definition_on_the_page_is_one_and_every_field_of_it_is_told() -> None:
    section = PAGE.section("## POST /v1/funnels")
    [block] = blocks(section, "json")
    definition = FunnelToDefine.model_validate_json(block)
    told = {name for row in rows(section) for name in names(row[0])}

    assert definition.model_dump(exclude_unset=True) == json.loads(block)
    assert told == {
        *FunnelToDefine.model_fields,
        *(f"steps[].{name}" for name in FunnelStep.model_fields),
        *(f"steps[].conditions[].{name}" for name in FunnelCondition.model_fields),
    }


def test_the_answer_to_a_deletion_is_on_the_page() -> None:
    [block] = blocks(PAGE.section("## DELETE /v1/funnels/{funnel_id}"), "json")

    understood = FunnelBeingDeleted.model_validate_json(block)

    assert json.loads(understood.model_dump_json()) == json.loads(block)


@pytest.mark.parametrize(
    ("heading", "model"),
    [
        ("## POST /v1/policies", PolicyToDraft),
        ("## POST /v1/policies/{version}/activate", PolicyToActivate),
        ("## POST /v1/policies/{version}/rollback", PolicyToRollBackTo),
    ],
)
def test_what_changes_a_policy_is_on_the_page_with_every_field(
    heading: str, model: type[BaseModel]
) -> None:
    section = PAGE.section(heading)
    block = blocks(section, "json")[0]

    sent = model.model_validate_json(block)

    assert json.loads(sent.model_dump_json()) == json.loads(block)
    assert {name for row in rows(section) for name in names(row[0])} == set(model.model_fields)


def test_the_answer_to_an_activation_is_on_the_page() -> None:
    _, block = blocks(PAGE.section("## POST /v1/policies/{version}/activate"), "json")

    assert json.loads(ActivatedPolicy.model_validate_json(block).model_dump_json()) == json.loads(
        block
    )


@pytest.mark.parametrize(
    "heading",
    ["## POST /v1/policies/{version}/preview", "## POST /v1/jobs/{job_id}/cancel"],
)
def test_the_answer_about_a_job_is_on_the_page(heading: str) -> None:
    [block] = blocks(PAGE.section(heading), "json")

    assert json.loads(Job.model_validate_json(block).model_dump_json()) == json.loads(block)


@each_act
async def test_nothing_is_changed_without_a_key(client: httpx.AsyncClient, act: APIRoute) -> None:
    method = next(iter(act.methods or ()))

    answer = await client.request(
        method, act.path.format(funnel_id=1, version=1, job_id=UUID(int=1))
    )

    assert answer.status_code == 401


@each_route
async def test_no_route_answers_without_a_key(client: httpx.AsyncClient, route: APIRoute) -> None:
    answer = await client.get(documented_path(route))

    assert answer.status_code == 401
    assert answer.json()["code"] == "invalid_api_key"


@each_route
def test_every_route_declares_its_scope(route: APIRoute) -> None:
    calls = [each.call for each in route.dependant.dependencies]

    assert [call for call in calls if hasattr(call, "scope")], route.path


async def test_the_problem_on_the_page_is_what_is_answered(client: httpx.AsyncClient) -> None:
    answer = await client.get(
        "/v1/users", params={"limit": 0}, headers={"authorization": f"Bearer {KEY}"}
    )

    assert [answer.json()] == json_blocks(PAGE.section("## Errors"))
    assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize("address", ["/openapi.json", "/docs", "/livez", "/readyz", "/metrics"])
async def test_the_addresses_that_need_no_key_are_on_the_page(
    client: httpx.AsyncClient, address: str
) -> None:
    assert (await client.get(address)).status_code == 200
    assert f"`{address}`" in PAGE.section("## Keys")


def test_every_code_of_an_error_is_on_the_page_and_no_other() -> None:
    shown = {code for row in rows(PAGE.section("## Errors")) for code in names(row[1])}
    sources = [*(ROOT / "services/api").rglob("*.py"), ROOT / "shared/http/problems.py"]
    # The second word of a problem, whatever the first is called.
    written = {
        code
        for path in sources
        for code in re.findall(r"Problem\(\s*HTTPStatus\.\w+,\s*\"(\w+)\"", path.read_text())
    }

    assert shown == written | FROM_STATUS
