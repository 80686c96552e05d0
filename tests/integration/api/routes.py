"""The routes that the api really has, also those that its description leaves out."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from fastapi import FastAPI
from fastapi.routing import iter_route_contexts

OPEN = {
    "/livez",
    "/readyz",
    "/metrics",
    "/openapi.json",
    "/docs",
    "/docs/oauth2-redirect",
    "/redoc",
}
# A value for each part of a path that may stand there.
PARTS = {
    "user_id": "ann",
    "alert_id": "00000000-0000-0000-0000-000000000001",
    "funnel_id": "1",
    "version": "1",
    "job_id": "00000000-0000-0000-0000-000000000001",
}


@dataclass(frozen=True, slots=True)
class Route:
    template: str
    methods: frozenset[str]
    scopes: tuple[object, ...]

    def address(self, **parts: str) -> str:
        """Return an address of the route, with the given parts or some that may stand there."""
        return self.template.format(**(PARTS | parts))


def routes(app: FastAPI) -> list[Route]:
    return [
        Route(
            str(route.path_format or route.path),
            frozenset(route.methods or ()),
            tuple(_scopes(getattr(route, "dependant", None))),
        )
        for route in iter_route_contexts(app.routes)
    ]


def questions(app: FastAPI) -> list[Route]:
    """Return the routes that answer from the database, and change nothing."""
    return [route for route in _of_the_api(app) if "GET" in route.methods]


def changes(app: FastAPI) -> list[Route]:
    """Return the routes that change something."""
    return [route for route in _of_the_api(app) if "GET" not in route.methods]


def _of_the_api(app: FastAPI) -> list[Route]:
    return [route for route in routes(app) if route.template.startswith("/v1/")]


def _scopes(dependant: Any) -> Iterator[object]:
    for each in getattr(dependant, "dependencies", ()):
        if hasattr(each.call, "scope"):
            yield each.call.scope
        yield from _scopes(each)
