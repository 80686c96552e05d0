"""Everything but the hot routes: probes, what this address is, and JSON for every other path."""

from collections.abc import Mapping

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from services.ingest.inbound.routes import ROUTES
from shared.http.probes import HealthCheck, probe_routes
from shared.http.problems import sdk_error
from shared.http.requests import ROUTE
from shared.observability.metrics import Metrics


def site(*, live: HealthCheck, ready: HealthCheck, metrics: Metrics) -> Starlette:
    """Return the application that answers what is not an event."""
    app = Starlette(
        routes=[
            *probe_routes(live=live, ready=ready, metrics=metrics),
            Route("/", _greet),
        ],
        exception_handlers={HTTPException: _refuse, Exception: _fail},
    )
    app.router.redirect_slashes = False
    return app


async def _greet(request: Request) -> Response:
    request.scope[ROUTE] = "/"
    paths = sorted({route.name for route in ROUTES.values()})
    return JSONResponse({"service": "ebbtide ingest", "takes": paths})


async def _refuse(_request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101  registered for nothing else
    code = error.detail.lower().replace(" ", "_")
    return _json(sdk_error(code, error.detail), error.status_code, error.headers)


async def _fail(_request: Request, _error: Exception) -> Response:
    return _json(sdk_error("internal_error", "this was our fault"), 500)


def _json(body: bytes, status: int, headers: Mapping[str, str] | None = None) -> Response:
    return Response(body, status, headers=headers, media_type="application/json")
