"""docs/ingest.md lists every code of refusal, every limit and every answer, and its example runs."""

import ast
import asyncio
import json
import re
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from services.api.settings import Settings as ApiSettings
from services.ingest.domain import clock_skew, contents
from services.ingest.domain.admission import LARGEST_EVENT_BYTES, LONGEST_NAME
from services.ingest.domain.feedback import FEEDBACK_NAMES
from services.ingest.inbound.bodies import _NATIVE, MOST_EVENTS
from services.ingest.inbound.routes import ROUTES
from services.ingest.outbound.event_topic import LARGEST_DEAD_LETTER
from services.ingest.settings import Settings as IngestSettings
from shared.contracts.events import EventFlag
from shared.http.guard import GuardLimits
from shared.http.server import HttpServer
from shared.lanes.isolation import CODE_FAILED, CODE_REJECTED
from shared.lanes.relay import _FOR_GOOD
from shared.observability.metrics import Metrics
from shared.testing.broker import FakeLog
from shared.vocabulary import LONGEST_ID, EventType
from tests.architecture.docs_page import ROOT, Page, blocks, json_blocks, names, rows
from tests.unit.ingest.site import KEY, Site

PAGE = Page("ingest.md")
KIB, MIB = 1024, 1024 * 1024
# Where a call carries its code among its positional words.
PLACES = {"Refused": 0, "Refusal": 0, "sdk_error": 0, "BodyRefused": 1}
IN_LANES = {"Refused": 1}
# Made from the words of a status, by the application that answers what is not an event.
FROM_STATUS = {"not_found"}


def codes_in(folder: Path, places: dict[str, int]) -> Iterator[str]:
    """Yield every code that is written out in a call, or first in a tuple of three that is returned."""
    for path in folder.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            match node:
                case ast.Call(func=ast.Name(id=name), args=words) if name in places:
                    yield from constant(words[places[name] : places[name] + 1])
                case ast.Return(value=ast.Tuple(elts=[code, _, _])):
                    yield from constant([code])


def constant(nodes: list[ast.expr]) -> Iterator[str]:
    for node in nodes:
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


def documented(text: str) -> set[str]:
    return {code for row in rows(text) for code in names(row[0])}


def test_every_code_of_ingest_is_on_the_page_and_no_other() -> None:
    told, _, _ = PAGE.section("## Refusals").partition("After ingest")

    used = set(codes_in(ROOT / "services/ingest", PLACES)) | FROM_STATUS
    assert documented(told) == used


def test_every_code_of_the_lanes_is_on_the_page_and_no_other() -> None:
    _, _, later = PAGE.section("## Refusals").partition("After ingest")

    used = {
        *codes_in(ROOT / "services/segmenter/inbound", IN_LANES),
        *codes_in(ROOT / "services/alerts/inbound", IN_LANES),
        *(outcome.value for outcome in _FOR_GOOD),
        CODE_REJECTED,
        CODE_FAILED,
    }
    assert documented(later) == used


def test_every_route_is_on_the_page_with_its_size_and_no_other() -> None:
    shown = {}
    for path, short, _, most in rows(PAGE.section("## Routes")):
        for address in (*names(path), *names(short)):
            shown[address] = most

    assert shown == {
        path: f"{route.limits.wire // MIB} MiB"
        for path, route in ROUTES.items()
        if not path.endswith("/")
    }


def test_every_limit_is_the_codes() -> None:
    shown = {what: limit for what, limit, _ in rows(PAGE.section("## Limits"))}
    guard, inflated = GuardLimits(), ROUTES["/v1/batch"].limits.inflated

    assert shown["body inflated"] == f"{inflated // MIB} MiB"
    assert shown["events of a request"] == f"{MOST_EVENTS:,}"
    assert shown["an event"] == f"{LARGEST_EVENT_BYTES // KIB} KiB"
    assert shown["nesting"].startswith(f"{contents.DEEPEST} levels")
    assert shown["entries of `properties`, `context`, `traits`"].startswith(
        str(contents.MOST_PROPERTIES)
    )
    assert shown["ids"] == f"{LONGEST_ID} characters"
    assert shown["`event`, `name`"] == f"{LONGEST_NAME} characters"
    assert (
        shown["headers"]
        == f"{guard.header_bytes // KIB} KiB, complete within {guard.header_s:.0f} s"
    )
    assert (
        shown["a body on its way"]
        == f"{guard.body_idle_s:.0f} s between two pieces, {guard.body_s:.0f} s in all"
    )
    assert shown["connections of one address"] == str(guard.connections_per_address)
    for settings in (IngestSettings, ApiSettings):
        field = settings.model_fields["connections_per_address"]
        assert field.default == guard.connections_per_address
    assert IngestSettings.model_fields["body_s"].default == guard.body_s
    assert LARGEST_DEAD_LETTER == MIB
    assert "the first MiB" in PAGE.section("## Dead letters")


def test_the_rules_for_time_are_the_codes() -> None:
    told = PAGE.section("## Time")

    assert f"up to {clock_skew.LATENCY.total_seconds():.0f} s either way" in told
    assert f"up to {clock_skew.PLAUSIBLE.total_seconds() / 3600:.0f} hours" in told
    assert f"more than {clock_skew.FUTURE.total_seconds() / 60:.0f} minutes after" in told
    assert {flag for flag in EventFlag if f"`{flag}`" in told} == set(EventFlag)


def test_the_fields_of_our_own_route_and_the_types_are_the_codes() -> None:
    table = rows(PAGE.section("## An event"))
    shown = {own: segments for row in table for own in names(row[0]) for segments in names(row[1])}
    [types] = [row[2] for row in table if row[0] == "`type`"]

    assert {own: shown.get(own) for own in _NATIVE} == _NATIVE
    assert set(EventType) <= set(names(types))


def test_the_names_that_carry_feedback_are_the_codes() -> None:
    shown = {name.lower() for name in names(PAGE.section("## Feedback"))}

    assert shown >= FEEDBACK_NAMES


@pytest.mark.parametrize(
    ("path", "body", "key", "status"),
    [
        ("/v1/batch", {"batch": [{"type": "page", "userId": "a"}] * 2}, KEY, 200),
        (
            "/v1/batch",
            {
                "batch": [
                    {"type": "page", "userId": "a", "messageId": "m1"},
                    {"type": "page", "userId": "null", "messageId": "m2"},
                ]
            },
            KEY,
            200,
        ),
        ("/v1/track", {"userId": "ada"}, KEY, 400),
        ("/v1/batch", {"batch": []}, "unknown", 401),
        ("/nowhere", {}, KEY, 404),
        ("/v1/batch", {"batch": [{}] * 2_501}, KEY, 413),
    ],
)
async def test_an_answer_on_the_page_is_what_is_answered(
    path: str, body: dict[str, object], key: str, status: int
) -> None:
    site = Site()
    await site.log.start()

    answer = await site.post(path, body, key=key)
    await site.client.aclose()

    assert answer.status_code == status
    assert answer.json() in json_blocks(PAGE.section("## Answers"))


async def test_the_answer_to_another_method_and_to_a_log_that_is_away_are_on_the_page() -> None:
    site = Site(log=FakeLog())  # not started: it refuses
    shown = json_blocks(PAGE.section("## Answers"))

    wrong = await site.client.get("/v1/batch")
    away = await site.post("/v1/batch", {"batch": [{"type": "page", "userId": "a"}]})
    await site.client.aclose()

    assert (wrong.status_code, away.status_code) == (405, 503)
    assert away.headers["retry-after"] == "1"
    assert wrong.json() in shown
    assert away.json() in shown
    assert len(shown) == 8, "every example is compared with an answer"


async def test_the_headers_that_a_page_may_send_are_on_the_page() -> None:
    site = Site()
    answer = await site.client.options("/v1/batch")
    await site.client.aclose()

    allowed = answer.headers["access-control-allow-headers"].split(", ")
    told = {name.lower() for name in names(PAGE.section("## CORS"))}
    assert set(allowed) <= told


async def test_the_example_sends_events() -> None:
    [code] = blocks(PAGE.section("## With a Segment SDK"), "python")
    site = Site()
    await site.log.start()
    server = HttpServer(site.app, host="127.0.0.1", port=0, service="ingest", metrics=Metrics())
    await server.start()
    code = code.replace("WRITE_KEY", KEY).replace("127.0.0.1:8100", f"127.0.0.1:{server.port}")

    await asyncio.to_thread(exec, compile(code, "docs/ingest.md", "exec"), {})
    await server.stop()
    await site.client.aclose()

    assert [(event.type, event.user_id) for event in site.events()] == [
        ("identify", "ada"),
        ("track", "ada"),
    ]


async def test_the_line_for_plain_http_is_taken() -> None:
    [line] = blocks(PAGE.section("## With plain HTTP"), "sh")
    body = re.search(r"-d '(.*)'", line)
    assert body is not None
    site = Site()
    await site.log.start()

    answer: httpx.Response = await site.post("/v1/events", json.loads(body[1]))
    await site.client.aclose()

    assert answer.json()["ok"] is True
    assert site.events()[0].event_id == "order-4711"
