"""The hot routes as one small ASGI application: a body in, an answer per event out."""

import uuid
from collections.abc import Sequence
from typing import Any

import msgspec

from services.ingest.domain.admission import Circumstances
from services.ingest.domain.clock_skew import Receipt, parse_instant
from services.ingest.domain.verdict import Refusal
from services.ingest.inbound.bodies import Contents
from services.ingest.inbound.body import BodyRefused, ClientLeft, read_body
from services.ingest.inbound.routes import ROUTES, Route
from services.ingest.inbound.write_keys import key_in_headers
from services.ingest.usecases.accept_events import Answer, Fault, accept_events
from services.ingest.usecases.ports import EventTopic, Kept, Rejected
from shared.clock import Clock
from shared.http.keys import KeyBook
from shared.http.problems import sdk_error
from shared.http.requests import ROUTE, App, Receive, Scope, Send
from shared.observability import metrics as m
from shared.observability.logging import log
from shared.observability.metrics import Metrics

_logger = log(__name__)

RETRY_AFTER_S = b"1"
Headers = Sequence[tuple[bytes, bytes]]

_JSON = (b"content-type", b"application/json")
_CORS = (b"access-control-allow-origin", b"*")
_PREFLIGHT: Headers = (
    (b"access-control-allow-methods", b"POST, OPTIONS"),
    (
        b"access-control-allow-headers",
        b"authorization, content-type, content-encoding, anonymousid, sentat, x-retry-count",
    ),
    (b"access-control-max-age", b"86400"),
)


class EventsHttp:
    """Takes events at the addresses of `ROUTES`; everything else goes to `others`."""

    def __init__(  # built in one place
        self,
        *,
        keys: KeyBook,
        topic: EventTopic,
        clock: Clock,
        machine: Clock,
        metrics: Metrics,
        others: App,
    ) -> None:
        self._keys = keys
        self._topic = topic
        self._clock = clock
        self._machine = machine
        self._metrics = metrics
        self._others = others

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        route = ROUTES.get(scope["path"])
        if route is None:
            await self._others(scope, receive, send)
            return
        scope[ROUTE] = route.name
        if scope["method"] == "OPTIONS":
            await _send(send, 200, b"{}", _PREFLIGHT)
        elif scope["method"] != "POST":
            body = sdk_error("method_not_allowed", "only POST takes events")
            await _send(send, 405, body, [(b"allow", b"POST, OPTIONS")])
        else:
            await self._post(route, scope, receive, send)

    async def _post(self, route: Route, scope: Scope, receive: Receive, send: Send) -> None:
        headers = dict(scope["headers"])
        key = key_in_headers(headers)
        source = None if key is None else self._keys.name_of(key)
        try:
            if key is not None and source is None:
                await _send(send, 401, _WRONG_KEY)
                return
            try:
                body = await read_body(receive, headers, limits=route.limits)
                contents = route.read(body)
            except BodyRefused as refused:
                await self._refuse_body(refused, source, send)
                return
            source = source or (contents.key and self._keys.name_of(contents.key))
            if source is None:
                await _send(send, 401, _WRONG_KEY)
                return
            await self._accept(route, contents, source, send)
        except ClientLeft:
            return

    async def _accept(self, route: Route, contents: Contents, source: str, send: Send) -> None:
        answer = await accept_events(
            contents.offers,
            source=source,
            circumstances=Circumstances(
                receipt=self._receipt(),
                sent_at=parse_instant(contents.sent_at),
                historical=contents.historical,
                default_type=route.default_type,
            ),
            topic=self._topic,
            new_id=_new_id,
        )
        self._count(route, answer)
        if answer.unsure:
            await _send(send, 503, _TRY_AGAIN, [(b"retry-after", RETRY_AFTER_S)])
        elif route.single and answer.faults:
            await _send(send, 400, _sdk_error(answer.faults[0].refusal, whole="the event"))
        else:
            await _send(send, 200, _report(answer))

    async def _refuse_body(self, refused: BodyRefused, source: str | None, send: Send) -> None:
        """Keep the body if its sender is known, and answer. It must not be lost, nor anyone's to fill."""
        if source is not None and refused.seen:
            letter = Rejected(refused.refusal, refused.seen)
            _, kept = await self._topic.keep(
                [], [letter], source=source, received_at=self._clock.now()
            )
            if Kept.UNSURE in kept:
                await _send(send, 503, _TRY_AGAIN, [(b"retry-after", RETRY_AFTER_S)])
                return
        else:
            self._metrics.count(m.INGEST_REFUSED, refused.refusal.code)
        # The connection stays open while the rest of the body comes: closing it would reset it
        # under a client that still sends, and that one would never see the answer.
        await _send(send, refused.status, _sdk_error(refused.refusal, whole="the body"))

    def _receipt(self) -> Receipt:
        return Receipt(product=self._clock.now(), machine=self._machine.now())

    def _count(self, route: Route, answer: Answer) -> None:
        fresh = answer.accepted - answer.duplicates
        for outcome, number in (
            ("unsure" if answer.unsure else "accepted", fresh),
            ("duplicate", answer.duplicates),
            ("refused", len(answer.faults)),
        ):
            if number:
                self._metrics.count(m.INGEST_EVENTS, route.name, outcome, by=number)


async def _send(send: Send, status: int, body: bytes, more: Headers = ()) -> None:
    length = (b"content-length", str(len(body)).encode())
    await send(
        {"type": "http.response.start", "status": status, "headers": [_JSON, length, _CORS, *more]}
    )
    await send({"type": "http.response.body", "body": body})


def _report(answer: Answer) -> bytes:
    return msgspec.json.encode(
        {
            "ok": not answer.faults,
            "received": answer.received,
            "accepted": answer.accepted,
            "errors": [_error(fault) for fault in answer.faults],
        }
    )


def _error(fault: Fault) -> dict[str, Any]:
    return {
        "index": fault.index,
        "messageId": fault.message_id,
        "code": fault.refusal.code,
        "message": _sentence(fault.refusal, whole="the event"),
        "field": fault.refusal.field,
    }


def _sdk_error(refusal: Refusal, *, whole: str) -> bytes:
    return sdk_error(refusal.code, _sentence(refusal, whole=whole), field=refusal.field)


def _sentence(refusal: Refusal, *, whole: str) -> str:
    return f"{refusal.field or whole} {refusal.reason}"


def _new_id() -> str:
    return str(uuid.uuid4())


_WRONG_KEY = sdk_error("invalid_write_key", "the write key is missing or not known")
_TRY_AGAIN = sdk_error(
    "unavailable", "the events could not be written for sure; send the whole request again"
)
