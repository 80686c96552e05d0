"""Sends events to ingest's batch route, and again until it says what became of each."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from types import TracebackType
from typing import Any, Self

import httpx
import stamina

from deploy.cli.exits import NoServer
from deploy.cli.places import Place

ROUTE = "/v1/events"
ANSWER_S = 30.0  # ingest answers within 8 s; what stands between may take its time
LONGEST_REST_S = 60.0
# That a server has no room for requests now, or one in front of it can't reach it.
AGAIN = frozenset({429, 500, 502, 503, 504})


@dataclass(frozen=True, slots=True)
class Refusal:
    """Ingest does not take one of the events."""

    index: int
    code: str
    reason: str


class _NotNow(Exception):
    """The same is to be sent again, after so many seconds where the server says how many."""

    def __init__(self, why: str, rest_s: float | None = None) -> None:
        super().__init__(why)
        self.rest_s = rest_s


class _TooLarge(Exception):
    """The request is larger than what stands in between takes."""


class Sender:
    """Connections to ingest under one write key."""

    def __init__(
        self,
        place: Place,
        *,
        patience_s: float,
        connections: int,
        transport: httpx.AsyncBaseTransport | None = None,
        told: Callable[[str], None] = lambda _: None,
    ) -> None:
        """`patience_s`: how long one request is tried. `told` is called with why it is tried again."""
        self._url = place.url
        self._patience_s = patience_s
        self._told = told
        self._client = httpx.AsyncClient(
            base_url=place.url,
            auth=(place.key, ""),
            headers={"content-type": "application/json"},
            timeout=ANSWER_S,
            limits=httpx.Limits(max_connections=connections),
            trust_env=False,
            transport=transport,
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        await self._client.aclose()

    async def send(self, events: Sequence[bytes]) -> list[Refusal]:
        """Return those that are refused; all others are acknowledged. Raises NoServer."""
        if not events:
            return []
        try:
            return await self._persistently(events)
        except _TooLarge as error:
            if len(events) == 1:
                return [Refusal(0, "body_too_large", str(error))]
        middle = len(events) // 2
        first, second = await self.send(events[:middle]), await self.send(events[middle:])
        return [*first, *(Refusal(each.index + middle, each.code, each.reason) for each in second)]

    async def _persistently(self, events: Sequence[bytes]) -> list[Refusal]:
        body = b'{"historical":true,"events":[' + b",".join(events) + b"]}"
        try:
            async for attempt in stamina.retry_context(
                on=_rest, attempts=None, timeout=self._patience_s, wait_initial=0.2, wait_max=10.0
            ):
                with attempt:
                    return await self._once(body)
        except (_NotNow, httpx.TransportError) as error:
            raise NoServer(f"{self._url} does not take the events: {_reason(error)}") from None
        raise AssertionError("the loop returns or raises")

    async def _once(self, body: bytes) -> list[Refusal]:
        try:
            answer = await self._client.post(ROUTE, content=body)
        except httpx.TransportError as error:
            self._told(_reason(error))
            raise
        if answer.status_code in AGAIN:
            why = f"{answer.status_code}: {_message(answer)}"
            self._told(why)
            raise _NotNow(why, _retry_after(answer))
        if answer.status_code == HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
            raise _TooLarge(_message(answer))
        return self._refusals(answer)

    def _refusals(self, answer: httpx.Response) -> list[Refusal]:
        if answer.status_code == HTTPStatus.UNAUTHORIZED:
            raise NoServer(f"{self._url} does not know the write key")
        if answer.status_code != HTTPStatus.OK:
            raise NoServer(f"{self._url} answers {answer.status_code}: {_message(answer)}")
        try:
            errors: list[dict[str, Any]] = answer.json()["errors"]
            return [Refusal(each["index"], each["code"], each["message"]) for each in errors]
        except (ValueError, KeyError, TypeError):
            raise NoServer(f"{self._url} is no ingest: {answer.text[:200]!r}") from None


def _rest(error: Exception) -> bool | float:
    """Say whether to try again, and after how long where the server says so."""
    if isinstance(error, _NotNow) and error.rest_s is not None:
        return error.rest_s
    return isinstance(error, _NotNow | httpx.TransportError)


def _retry_after(answer: httpx.Response) -> float | None:
    """Return the seconds that the server asks for; a date is left to the usual back-off."""
    try:
        return min(max(float(answer.headers["retry-after"]), 0.0), LONGEST_REST_S)
    except (KeyError, ValueError):
        return None


def _reason(error: Exception) -> str:
    return str(error) or type(error).__name__


def _message(answer: httpx.Response) -> str:
    try:
        return str(answer.json()["message"])
    except (ValueError, KeyError, TypeError):
        return answer.text[:200]


class Pace:
    """Lets so many events through per second, evenly; None: as many as come."""

    def __init__(
        self,
        per_s: float | None,
        *,
        now: Callable[[], float],
        rest: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        self._per_s = per_s
        self._now = now
        self._rest = rest
        self._free_at: float | None = None

    async def let_through(self, events: int) -> None:
        if self._per_s is None:
            return
        now = self._now()
        begin = now if self._free_at is None else max(now, self._free_at)
        self._free_at = begin + events / self._per_s
        if begin > now:
            await self._rest(begin - now)
