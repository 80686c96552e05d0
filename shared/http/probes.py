"""`/livez`, `/readyz` and `/metrics`: the same three in every service."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from shared.http.problems import sdk_error
from shared.http.requests import ROUTE
from shared.observability.metrics import Metrics


@dataclass(frozen=True, slots=True)
class Health:
    """Whether something works, and what was looked at: check → `ok` or what is wrong."""

    ok: bool
    checks: Mapping[str, str] = field(default_factory=dict)


HealthCheck = Callable[[], Health]


def probe_routes(*, live: HealthCheck, ready: HealthCheck, metrics: Metrics) -> list[Route]:
    """Return the three routes, to stand beside a service's own."""

    async def livez(request: Request) -> Response:
        return _answer(request, live())

    async def readyz(request: Request) -> Response:
        return _answer(request, ready())

    async def metricsz(request: Request) -> Response:
        request.scope[ROUTE] = "/metrics"
        return Response(generate_latest(metrics.registry), media_type=CONTENT_TYPE_LATEST)

    return [
        Route("/livez", livez),
        Route("/readyz", readyz),
        Route("/metrics", metricsz),
    ]


def probes_app(*, live: HealthCheck, ready: HealthCheck, metrics: Metrics) -> Starlette:
    """Return an application with nothing but the three routes, for a worker."""
    app = Starlette(
        routes=probe_routes(live=live, ready=ready, metrics=metrics),
        exception_handlers={HTTPException: _refuse},
    )
    app.router.redirect_slashes = False
    return app


def _answer(request: Request, health: Health) -> Response:
    request.scope[ROUTE] = request.url.path
    status = 200 if health.ok else 503
    body = {"ok": health.ok, "checks": dict(health.checks)}
    return JSONResponse(body, status, headers={"cache-control": "no-store"})


async def _refuse(_request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101  registered for nothing else
    code = error.detail.lower().replace(" ", "_")
    body = sdk_error(code, error.detail)
    return Response(body, error.status_code, headers=error.headers, media_type="application/json")
