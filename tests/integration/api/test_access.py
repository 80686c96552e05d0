"""Who may ask: every question needs a key, and nothing that is written down shows one."""

import logging

import pytest
from structlog.testing import capture_logs

from services.api.inbound.access import Scope
from tests.integration.api.routes import OPEN, changes, questions, routes
from tests.integration.api.rows import connected
from tests.integration.api.site import KEY, READER, Site, site
from tests.servers import Database

pytestmark = pytest.mark.postgres

WRONG = [
    None,
    "",
    "Bearer",
    "Bearer ",
    "Bearer wrong",
    f"Bearer {KEY}x",
    f"Bearer {KEY[:-1]}",
    f"Bearer {KEY.upper()}",
    f"Basic {KEY}",
    KEY,
    "Bearer \xff\xfe",
]


def test_there_are_questions(api: Site) -> None:
    assert {route.template for route in questions(api.app)} == {
        "/v1/activity",
        "/v1/alerts",
        "/v1/alerts/{alert_id}",
        "/v1/dead-letters",
        "/v1/flows",
        "/v1/funnels",
        "/v1/funnels/{funnel_id}",
        "/v1/funnels/{funnel_id}/conversions",
        "/v1/jobs",
        "/v1/jobs/{job_id}",
        "/v1/merges",
        "/v1/policies",
        "/v1/policies/{version}",
        "/v1/reconciliations",
        "/v1/retention",
        "/v1/segmenter",
        "/v1/tiers",
        "/v1/transitions",
        "/v1/users",
        "/v1/users/{user_id}",
        "/v1/users/{user_id}/identities",
    }


def test_every_route_declares_a_scope_or_is_known_to_be_open(api: Site) -> None:
    without = {route.template for route in routes(api.app) if not route.scopes}

    assert without == OPEN


def test_a_question_that_only_reads_needs_the_scope_to_read(api: Site) -> None:
    assert {(route.methods, route.scopes) for route in questions(api.app)} == {
        (frozenset({"GET"}), (Scope.READ,))
    }


def test_whatever_changes_something_needs_the_scope_to_write(api: Site) -> None:
    assert {(route.template, *route.methods, *route.scopes) for route in changes(api.app)} == {
        ("/v1/funnels", "POST", Scope.WRITE),
        ("/v1/funnels/{funnel_id}", "DELETE", Scope.WRITE),
        ("/v1/jobs/{job_id}/cancel", "POST", Scope.WRITE),
        ("/v1/policies", "POST", Scope.WRITE),
        ("/v1/policies/{version}/preview", "POST", Scope.WRITE),
        ("/v1/policies/{version}/activate", "POST", Scope.WRITE),
        ("/v1/policies/{version}/rollback", "POST", Scope.WRITE),
    }


async def test_a_key_that_may_only_read_changes_nothing(api: Site) -> None:
    headers = {"authorization": f"Bearer {READER}"}

    for route in changes(api.app):
        (method,) = route.methods
        answer = await api.client.request(method, route.address(), headers=headers)

        assert answer.status_code == 403, route
        assert answer.json()["code"] == "missing_scope"
    assert (await api.client.get("/v1/funnels", headers=headers)).json()["funnels"] == []


@pytest.mark.parametrize("given", WRONG)
async def test_every_question_is_refused_without_a_known_key(api: Site, given: str | None) -> None:
    del api.client.headers["authorization"]
    headers = {} if given is None else {b"authorization": given.encode("latin-1")}

    for route in (*questions(api.app), *changes(api.app)):
        (method,) = route.methods
        answer = await api.client.request(method, route.address(), headers=headers)

        assert answer.status_code == 401, route
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.headers["www-authenticate"] == 'Bearer realm="ebbtide"'
        assert answer.json()["code"] == "invalid_api_key"


async def test_who_has_no_key_learns_nothing_about_what_is_asked(api: Site) -> None:
    del api.client.headers["authorization"]

    for path in ("/v1/users?no-such=1", "/v1/alerts/nothing", "/v1/transitions?cursor=x"):
        assert (await api.client.get(path)).status_code == 401


async def test_a_key_in_the_address_is_no_key(api: Site) -> None:
    del api.client.headers["authorization"]

    answer = await api.client.get("/v1/tiers", params={"key": KEY, "access_token": KEY})

    assert answer.status_code == 401


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
async def test_a_known_key_is_let_in(api: Site, scheme: str) -> None:
    answer = await api.client.get("/v1/tiers", headers={"authorization": f"{scheme} {KEY}"})

    assert answer.status_code == 200


@pytest.mark.parametrize("path", sorted(OPEN))
async def test_probes_and_the_description_are_open(api: Site, path: str) -> None:
    del api.client.headers["authorization"]

    assert (await api.client.get(path)).status_code == 200


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
async def test_nothing_else_can_be_written(api: Site, method: str) -> None:
    meant = {route.template for route in changes(api.app) if method in route.methods}
    for route in questions(api.app):
        if route.template in meant:
            continue
        answer = await api.client.request(method, route.address())

        assert answer.status_code == 405
        assert answer.json()["code"] == "method_not_allowed"


async def test_no_log_and_no_answer_holds_a_key(
    database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    caplog.set_level(logging.WARNING, logger="httpx")  # the test's own client
    unreachable = database.api.rsplit("/", 1)[0] + "/no_such_database"
    said = ""

    with capture_logs() as logs:
        for dsn in (database.api, unreachable):
            async with site(dsn) as api:
                for key in (KEY, f"{KEY}-of-another"):
                    answer = await api.client.get(
                        "/v1/users",
                        params={"prefix": KEY},
                        headers={"authorization": f"Bearer {key}"},
                    )
                    said += answer.text

    written = said + caplog.text + "".join(str(each) for each in logs)
    assert "request_put_off" in written
    assert KEY not in written
    assert "test-api-password" not in written


async def test_no_log_says_whom_a_question_was_about(database: Database, api: Site) -> None:
    async with connected(database.owner) as connection:
        await connection.execute("ALTER TABLE alerts RENAME TO gone")

    with capture_logs() as logs:
        answer = await api.client.get("/v1/alerts", params={"user_id": "ann@example.com"})

    assert answer.status_code == 503
    assert "request_put_off" in str(logs)
    assert "ann@example.com" not in str(logs) + answer.text
