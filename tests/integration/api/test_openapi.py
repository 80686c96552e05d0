"""The api's description is whole and true, and no question, however odd, is our fault."""

import base64
import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import pytest
from fastapi.openapi.models import OpenAPI
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.integration.api.routes import changes, questions
from tests.integration.api.rows import NOON
from tests.integration.api.site import Site

pytestmark = pytest.mark.postgres

PROBLEM = "application/problem+json"


async def description(api: Site) -> dict[str, Any]:
    return await api.get("/openapi.json")


def operations(document: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the questions: what is got."""
    return {path: item["get"] for path, item in document["paths"].items() if "get" in item}


def acts(document: dict[str, Any]) -> list[dict[str, Any]]:
    """Return whatever changes something."""
    return [
        operation
        for item in document["paths"].values()
        for method, operation in item.items()
        if method != "get"
    ]


def references(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        if isinstance(node.get("$ref"), str):
            yield node["$ref"]
        node = list(node.values())
    if isinstance(node, list):
        for each in node:
            yield from references(each)


async def test_the_description_is_a_document_of_openapi(api: Site) -> None:
    document = await description(api)

    OpenAPI.model_validate(document)
    assert document["openapi"].startswith("3.1.")
    for reference in references(document):
        place: Any = document
        for step in reference.removeprefix("#/").split("/"):
            place = place[step]


async def test_every_question_is_described_and_nothing_else(api: Site) -> None:
    document = await description(api)

    served = (*questions(api.app), *changes(api.app))
    assert set(document["paths"]) == {route.template for route in served}
    described = [*operations(document).values(), *acts(document)]
    names = [each["operationId"] for each in described]
    assert len(set(names)) == len(names)
    assert all(each["description"] and each["tags"] for each in described)
    assert len(acts(document)) == len(changes(api.app))


async def test_every_question_describes_its_answers(api: Site) -> None:
    for path, operation in operations(await description(api)).items():
        answers = operation["responses"]

        one = {"404"} if "{" in path else set()
        assert set(answers) == {"200", "400", "401", "503", "default"} | one, path
        for status, answer in answers.items():
            (media,) = answer["content"]
            assert media == ("application/json" if status == "200" else PROBLEM), path


async def test_every_answer_is_described_with_its_age(api: Site) -> None:
    document = await description(api)

    for path, operation in operations(document).items():
        schema = operation["responses"]["200"]["content"]["application/json"]["schema"]
        name = schema["$ref"].rsplit("/", 1)[1]
        described = document["components"]["schemas"][name]
        assert {"as_of", "lag"} <= set(described["required"]), path


async def test_every_question_is_described_as_needing_a_bearer_key(api: Site) -> None:
    document = await description(api)

    for operation in (*operations(document).values(), *acts(document)):
        ((name, scopes),) = operation["security"][0].items()
        scheme = document["components"]["securitySchemes"][name]
        assert (scheme["type"], scheme["scheme"], scopes) == ("http", "bearer", [])


async def test_a_real_problem_has_the_fields_that_are_described(api: Site) -> None:
    answers = operations(await description(api))["/v1/users"]["responses"]
    schema = answers["400"]["content"][PROBLEM]["schema"]

    problem = await api.refused("/v1/users", limit="many")

    assert set(schema["required"]) <= set(problem) <= set(schema["properties"])


ODD_TEXTS = [
    "",
    "\x00",
    "a\x00b",
    "\ud800",
    "\udfff\ud800",
    "\ufffe\U0010ffff",
    "x" * 201,
    "x" * 2_001,
    "9" * 4_301,
    "-1",
    "1e400",
    "NaN",
    "Infinity",
    "-99999999999999999999",
    "9223372036854775808",
    "null",
    "true",
    "[]",
    "{}",
    "%",
    "\\",
    "'; DROP TABLE users; --",
    "0001-01-01T00:00:00+14:00",
    "9999-12-31T23:59:59-14:00",
    "0001-01-01T00:00:00Z",
    "9999-12-31T23:59:59.999999Z",
    "0000-01-01T00:00:00Z",
    "2026-02-30T00:00:00Z",
    "2026-03-01T24:00:00Z",
    "2026-03-01T23:59:60Z",
    "1e20",
    "٣",
]
LISTS = [
    "users",
    "transitions-newest",
    "transitions-oldest",
    "alerts",
    "dead-letters",
    "reconciliations",
    "activity-day-channel",
    "retention-week-platform",
    "flows-channel",
]


def cursors() -> st.SearchStrategy[str]:
    part = st.one_of(
        st.sampled_from([*ODD_TEXTS, NOON.isoformat(), "0" * 32, "{" + "0" * 32 + "}"]),
        st.text(st.characters(), max_size=8),
        st.none(),
        st.integers(),
    )
    key = st.builds(lambda listing, rest: [listing, *rest], st.sampled_from(LISTS), st.lists(part))
    return key.map(lambda it: base64.urlsafe_b64encode(json.dumps(it).encode()).decode())


def values() -> st.SearchStrategy[str]:
    """Percent-encoded values, also of bytes that are no text."""
    texts = st.one_of(st.sampled_from(ODD_TEXTS), st.text(st.characters(), max_size=12), cursors())
    raw = st.one_of(
        texts.map(lambda text: text.encode(errors="surrogatepass")), st.binary(max_size=8)
    )
    return raw.map(lambda each: quote(each, safe=""))


@settings(max_examples=200, suppress_health_check=list(HealthCheck), database=None)
@given(data=st.data())
async def test_no_question_however_odd_is_our_fault(api: Site, data: st.DataObject) -> None:
    asked = operations(api.app.openapi())
    template = data.draw(st.sampled_from(sorted(asked)))
    names = [each["name"] for each in asked[template].get("parameters", ())] + ["another"]
    pairs = data.draw(st.lists(st.tuples(st.sampled_from(names), values()), max_size=3))
    start, has_part, _ = template.partition("{")
    path = start + (data.draw(values()) if has_part else "")

    answer = await api.client.get(f"{path}?{'&'.join('='.join(pair) for pair in pairs)}")

    assert answer.status_code in (200, 400, 404), answer.text
    if answer.status_code != 200:
        assert answer.headers["content-type"] == PROBLEM
