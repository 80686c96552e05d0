"""Bodies of requests as models: read in bounds, after the key was checked, with the field named that is wrong."""

from http import HTTPStatus
from typing import Any, TypeVar

from fastapi import Request
from pydantic import BaseModel, BeforeValidator, ValidationError
from pydantic_core import from_json

from shared.http.problems import Problem

LARGEST_BODY = 64 * 1024

M = TypeVar("M", bound=BaseModel)


def _whole(given: object) -> object:
    """JSON has one kind of number: many a program writes 60 as 60.0."""
    return int(given) if isinstance(given, float) and given.is_integer() else given


OR_WITH_A_POINT = BeforeValidator(_whole)


async def read_body(request: Request, model: type[M]) -> M:
    """Return the body as the model. Raises Problem."""
    body = await _bytes_of(request)
    try:
        from_json(body, allow_inf_nan=False)  # the model would take NaN for a number
    except ValueError as error:
        raise Problem(
            HTTPStatus.BAD_REQUEST, "invalid_json", f"the body is no JSON: {error}"
        ) from None
    try:
        return model.model_validate_json(body)
    except ValidationError as error:
        raise _problem(error) from None


async def read_no_body(request: Request) -> None:
    """Refuse a body that says something: it would be let be. Raises Problem."""
    if (await _bytes_of(request)).strip() not in (b"", b"{}", b"null"):
        raise Problem(
            HTTPStatus.BAD_REQUEST,
            "invalid_field",
            "the body must be empty: the parameters stand in the address, behind a ?",
        )


async def _bytes_of(request: Request) -> bytes:
    """Read the body. The framework would read one of any size, and before it asks who sent it."""
    body = bytearray()
    async for piece in request.stream():
        body += piece
        if len(body) > LARGEST_BODY:
            raise Problem(
                HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
                "body_too_large",
                f"the body has more than {LARGEST_BODY} bytes",
            )
    return bytes(body)


def described_as(model: type[BaseModel]) -> dict[str, Any]:
    """Describe such a body for OpenAPI."""
    schema = model.model_json_schema(ref_template="#/components/schemas/{model}")
    schema.pop("$defs", None)
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": schema}}}}


def _problem(error: ValidationError) -> Problem:
    first = error.errors(include_url=False, include_input=False)[0]
    reason = str(first["msg"]).removeprefix("Value error, ")
    field = _path(first["loc"])
    detail = f"{field}: {reason}" if field else reason
    return Problem(HTTPStatus.BAD_REQUEST, "invalid_field", detail, field=field)


def _path(location: tuple[int | str, ...]) -> str | None:
    """Return where the fault is, as `steps[1].event`."""
    path = ""
    for part in location:
        path += f"[{part}]" if isinstance(part, int) else f".{part}"
    return path.removeprefix(".") or None
