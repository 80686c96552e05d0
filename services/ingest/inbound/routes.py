"""Which addresses take events, how their bodies are read and how large they may be."""

from collections.abc import Callable
from dataclasses import dataclass

from services.ingest.inbound.bodies import Contents, read_batch, read_native, read_single
from services.ingest.inbound.body import BodyLimits
from shared.vocabulary import EventType

_ONE = BodyLimits(wire=1024 * 1024)
_MANY = BodyLimits(wire=4 * 1024 * 1024)  # rudder-sdk sends batches of up to 4 MiB


@dataclass(frozen=True, slots=True)
class Route:
    """One address. `single`: it takes one event, so refusing it refuses the request."""

    name: str
    read: Callable[[bytes], Contents]
    limits: BodyLimits
    default_type: EventType | None = None
    single: bool = False


def _routes() -> dict[str, Route]:
    routes = {
        "/v1/batch": Route("/v1/batch", read_batch, _MANY),
        "/v1/events": Route("/v1/events", read_native, _MANY, EventType.TRACK),
    }
    for kind in ("track", "identify", "page", "screen", "group", "alias"):
        path = f"/v1/{kind}"
        routes[path] = Route(path, read_single, _ONE, EventType(kind), single=True)
        # The short forms of Segment's browser SDK.
        routes[f"/v1/{kind[0]}"] = routes[path]
    routes["/v1/b"] = routes["/v1/batch"]
    # Both spellings, and never a redirect: clients turn a redirected POST into a GET and lose it.
    return routes | {f"{path}/": route for path, route in routes.items()}


ROUTES = _routes()
