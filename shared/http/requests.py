"""Counts and times every request by its route, and logs those that failed; never their contents."""

import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from shared.http.problems import sdk_error
from shared.observability import metrics as m
from shared.observability.logging import log
from shared.observability.metrics import Metrics

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

# Where an application that routes by itself says which route it took, in the scope.
ROUTE = "ebbtide.route"
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_SERVER_ERROR = 500
_SECURITY_HEADERS = [
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
]

_logger = log(__name__)


def measured(app: App, *, service: str, metrics: Metrics) -> App:
    """Return the application with its requests counted under closed sets of labels."""

    async def call(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await app(scope, receive, send)
            return
        status = 0
        started = time.perf_counter()

        async def send_on(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message.get("headers", ()), *_SECURITY_HEADERS]
            await send(message)

        try:
            await app(scope, receive, send_on)
        except (
            Exception
        ):  # the HTTP boundary of applications without one; the server logs the stack
            if not status:
                await _fail(send_on)
            raise
        finally:
            seconds = time.perf_counter() - started
            route = _route(scope)
            method = scope["method"] if scope["method"] in _METHODS else "other"
            # No answer: the client went away first.
            metrics.count(m.HTTP_REQUESTS, service, route, method, str(status or 499))
            metrics.observe(m.HTTP_SECONDS, seconds, service, route)
            if status >= _SERVER_ERROR:
                _logger.warning(
                    "request_failed", route=route, method=method, status=status, seconds=seconds
                )

    return call


async def _fail(send: Send) -> None:
    """Answer in the one shape that every client of an application without its own can read."""
    body = sdk_error("internal_error", "this was our fault")
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
    ]
    await send({"type": "http.response.start", "status": _SERVER_ERROR, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def _route(scope: Scope) -> str:
    """Return the template of the route, never the path: ids in paths would be labels without end."""
    named = scope.get(ROUTE)
    if named is not None:
        return str(named)
    return str(getattr(scope.get("route"), "path", "unmatched"))
