"""Errors as answers: RFC 9457 problems for the api, and what SDKs understand for ingest."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

import msgspec
from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from shared.errors import RetryableError
from shared.observability.logging import log

_logger = log(__name__)

MEDIA_TYPE = "application/problem+json"
RETRY_AFTER_S = 1
# Put before the words of our own validators.
_OF_PYDANTIC = "Value error, "


class Problem(Exception):
    """A request that can't be answered, and why. `field` names the offending parameter."""

    def __init__(
        self,
        status: HTTPStatus,
        code: str,
        detail: str,
        *,
        field: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.code = code
        self.detail = detail
        self.field = field
        self.headers = headers


def problem_response(problem: Problem) -> Response:
    """Return the problem as `application/problem+json` (`type, title, status, detail, code, field`)."""
    body: dict[str, Any] = {
        "type": "about:blank",
        "title": problem.status.phrase,
        "status": problem.status.value,
        "code": problem.code,
        "detail": problem.detail,
    }
    if problem.field is not None:
        body["field"] = problem.field
    headers = {"cache-control": "no-store", **(problem.headers or {})}
    return JSONResponse(body, problem.status, headers=headers, media_type=MEDIA_TYPE)


class ProblemBody(BaseModel):
    """An error, as RFC 9457 writes it. `code` says in one word what is wrong."""

    type: str
    title: str
    status: int
    code: str
    detail: str
    field: str | None = Field(None, description="the offending parameter, where there is one")


def answers(*statuses: HTTPStatus) -> dict[int | str, dict[str, Any]]:
    """Describe the statuses for OpenAPI, and any other error with them."""
    content = {MEDIA_TYPE: {"schema": ProblemBody.model_json_schema()}}
    named: dict[int | str, dict[str, Any]] = {
        status.value: {"description": status.phrase, "content": content} for status in statuses
    }
    return {**named, "default": {"description": "Any other problem", "content": content}}


def install(app: FastAPI) -> None:
    """Answer every error of the application as a problem."""
    app.add_exception_handler(Problem, _of_problem)
    app.add_exception_handler(RequestValidationError, _of_validation)
    app.add_exception_handler(HTTPException, _of_http)
    app.add_exception_handler(RetryableError, _of_retryable)
    app.add_exception_handler(Exception, _of_anything)


def sdk_error(code: str, message: str, *, field: str | None = None) -> bytes:
    """Return an error body in which each SDK finds the words that it looks for.

    `code` and `message` are Segment's and RudderStack's (without them rudder-sdk-python retries a
    permanent error ten times); `detail` and `error` are others'.
    """
    body = {"code": code, "message": message, "detail": message, "error": message}
    return msgspec.json.encode(body if field is None else {**body, "field": field})


async def _of_problem(_request: Request, error: Exception) -> Response:
    assert isinstance(error, Problem)  # noqa: S101  registered for nothing else
    return problem_response(error)


async def _of_validation(_request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)  # noqa: S101
    first = error.errors()[0]
    # Where the parameter stands, and its name; the place within a list adds nothing.
    field = str(first["loc"][1]) if len(first["loc"]) > 1 else None
    reason = str(first["msg"]).removeprefix(_OF_PYDANTIC)
    detail = f"{field}: {reason}" if field else reason
    return problem_response(
        Problem(HTTPStatus.BAD_REQUEST, "invalid_parameter", detail, field=field)
    )


async def _of_http(_request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101
    status = HTTPStatus(error.status_code)
    code = status.phrase.lower().replace(" ", "_")
    return problem_response(Problem(status, code, str(error.detail), headers=error.headers))


async def _of_retryable(_request: Request, error: Exception) -> Response:
    _logger.warning("request_put_off", error=str(error))
    return problem_response(
        Problem(
            HTTPStatus.SERVICE_UNAVAILABLE,
            "unavailable",
            "the database does not answer now; try again",
            headers={"Retry-After": str(RETRY_AFTER_S)},
        )
    )


async def _of_anything(_request: Request, _error: Exception) -> Response:
    # The server's own handler logs the stack; the client learns nothing of our inside.
    return problem_response(
        Problem(HTTPStatus.INTERNAL_SERVER_ERROR, "internal_error", "this was our fault")
    )
