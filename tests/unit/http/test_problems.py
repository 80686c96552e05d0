"""Every error of the api is a problem, and tells nothing of our inside."""

import json
from collections.abc import AsyncIterator
from http import HTTPStatus
from typing import Annotated, Any

import httpx
import pytest
import pytest_asyncio
from fastapi import FastAPI, HTTPException, Query
from pydantic import AfterValidator, BaseModel

from shared.errors import StoreUnavailable
from shared.http import problems
from shared.http.problems import Problem, ProblemBody, sdk_error

SECRET = "postgresql://role:hunter2@host/db"


def refuse(_: str) -> str:
    raise ValueError("is never taken")


class Asked(BaseModel, extra="forbid"):
    size: int = 1
    names: list[int] = []
    never: Annotated[str, AfterValidator(refuse)] = ""


def an_app() -> FastAPI:
    app = FastAPI(redirect_slashes=False)

    @app.get("/problem")
    def problem() -> None:
        raise Problem(
            HTTPStatus.CONFLICT, "taken", "it is taken", field="name", headers={"X-More": "1"}
        )

    @app.get("/asked")
    def asked(asked: Annotated[Asked, Query()]) -> int:
        return asked.size

    @app.get("/forbidden")
    def forbidden() -> None:
        raise HTTPException(403, "not you", headers={"X-More": "1"})

    @app.get("/unavailable")
    def unavailable() -> None:
        raise StoreUnavailable(SECRET)

    @app.get("/broken")
    def broken() -> None:
        raise RuntimeError(SECRET)

    problems.install(app)
    return app


@pytest_asyncio.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(app=an_app(), raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://here") as made:
        yield made


def problem_of(answer: httpx.Response) -> dict[str, Any]:
    """Return the problem, which must have the shape that the api's description promises."""
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["cache-control"] == "no-store"
    problem: dict[str, Any] = answer.json()
    ProblemBody.model_validate(problem, extra="forbid")
    assert problem["status"] == answer.status_code
    assert problem["title"] == HTTPStatus(answer.status_code).phrase
    return problem


async def test_a_problem_is_answered_as_it_was_stated(client: httpx.AsyncClient) -> None:
    answer = await client.get("/problem")

    assert problem_of(answer) == {
        "type": "about:blank",
        "title": "Conflict",
        "status": 409,
        "code": "taken",
        "detail": "it is taken",
        "field": "name",
    }
    assert answer.headers["x-more"] == "1"


@pytest.mark.parametrize(
    ("query", "field"),
    [("size=x", "size"), ("names=1&names=x", "names"), ("sise=1", "sise"), ("%FF=1", "\ufffd")],
)
async def test_a_bad_parameter_is_named(client: httpx.AsyncClient, query: str, field: str) -> None:
    problem = problem_of(await client.get(f"/asked?{query}"))

    assert (problem["status"], problem["code"]) == (400, "invalid_parameter")
    assert problem["field"] == field
    assert problem["detail"].startswith(f"{field}: ")


async def test_the_reason_of_a_validator_is_told_in_its_own_words(
    client: httpx.AsyncClient,
) -> None:
    problem = problem_of(await client.get("/asked?never=1"))

    assert problem["detail"] == "never: is never taken"


async def test_an_unknown_path_is_a_problem(client: httpx.AsyncClient) -> None:
    problem = problem_of(await client.get("/nowhere"))

    assert (problem["status"], problem["code"]) == (404, "not_found")


async def test_a_method_that_a_path_does_not_take_is_a_problem(client: httpx.AsyncClient) -> None:
    answer = await client.post("/asked")

    assert problem_of(answer)["code"] == "method_not_allowed"
    assert answer.headers["allow"] == "GET"


async def test_the_framework_s_own_errors_are_problems(client: httpx.AsyncClient) -> None:
    answer = await client.get("/forbidden")

    problem = problem_of(answer)
    assert (problem["code"], problem["detail"]) == ("forbidden", "not you")
    assert answer.headers["x-more"] == "1"


async def test_what_may_work_later_says_when_to_try(client: httpx.AsyncClient) -> None:
    answer = await client.get("/unavailable")

    assert problem_of(answer)["status"] == 503
    assert int(answer.headers["retry-after"]) >= 1
    assert "hunter2" not in answer.text


async def test_an_error_of_our_own_does_not_tell_what_it_was(client: httpx.AsyncClient) -> None:
    answer = await client.get("/broken")

    assert problem_of(answer)["code"] == "internal_error"
    assert "hunter2" not in answer.text
    assert "RuntimeError" not in answer.text


def test_an_sdk_finds_the_words_that_it_looks_for() -> None:
    body = json.loads(sdk_error("too_large", "too large", field="event"))

    assert body == {
        "code": "too_large",
        "message": "too large",
        "detail": "too large",
        "error": "too large",
        "field": "event",
    }


def test_an_sdk_s_error_without_a_field_has_none() -> None:
    assert "field" not in json.loads(sdk_error("code", "message"))


def test_described_answers_have_the_problem_s_shape() -> None:
    described = problems.answers(HTTPStatus.NOT_FOUND)

    assert set(described) == {404, "default"}
    assert all(list(each["content"]) == [problems.MEDIA_TYPE] for each in described.values())
