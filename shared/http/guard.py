"""Closes connections that dribble or flood, before they cost memory or a place.

uvicorn with httptools has no deadline for headers and no limit on their size. Measured against it:
600 sockets sending half a header stayed open, and a header of 52 MB was accepted.
"""

import asyncio
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol


@dataclass(frozen=True, slots=True)
class GuardLimits:
    """What one connection may do. The peer's address counts: behind a proxy, use the proxy's limits."""

    header_s: float = 5.0  # from the first byte (or the connection) to the end of the headers
    header_bytes: int = 32 * 1024
    body_idle_s: float = 10.0  # between two pieces of a body
    body_s: float = 60.0  # for a whole body
    connections_per_address: int = 512


def guarded(limits: GuardLimits, *, closed: Callable[[str], None]) -> type[HttpToolsProtocol]:
    """Return a protocol with these limits; `closed` is told why each connection was cut."""
    counts: Counter[str] = Counter()

    class Guarded(_Guarded):
        _limits = limits
        _closed = staticmethod(closed)
        _counts = counts

    return Guarded


class _Guarded(HttpToolsProtocol):
    _limits: GuardLimits
    _closed: Callable[[str], None]
    _counts: Counter[str]

    def __init__(self, *words: Any, **named: Any) -> None:
        super().__init__(*words, **named)
        self._deadline: asyncio.TimerHandle | None = None
        self._idle: asyncio.TimerHandle | None = None
        self._in_headers = True
        self._header_size = 0
        self._address: str | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._address = self.client[0] if self.client else ""
        self._counts[self._address] += 1
        if self._counts[self._address] > self._limits.connections_per_address:
            self._cut("too_many_connections")
            return
        self._await_headers()

    def connection_lost(self, exc: Exception | None) -> None:
        self._disarm()
        if self._address is not None:
            self._counts[self._address] -= 1
            if not self._counts[self._address]:
                del self._counts[self._address]
            self._address = None
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self.transport.is_closing():
            return
        if self._in_headers:
            self._header_size += len(data)
        super().data_received(data)
        # Only what is still a header after this piece counts: a body may have come along with it.
        if self._in_headers and self._header_size > self._limits.header_bytes:
            self._cut("header_too_large")

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._await_headers()

    def on_headers_complete(self) -> None:
        self._in_headers = False
        self._disarm()
        size = len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers)
        if size > self._limits.header_bytes:
            self._cut("header_too_large")
            return
        super().on_headers_complete()
        self._deadline = self.loop.call_later(self._limits.body_s, self._cut, "body_too_slow")
        self._await_piece()

    def on_body(self, body: bytes) -> None:
        if self.transport.is_closing():
            return  # cut with its headers
        super().on_body(body)
        self._await_piece()

    def on_message_complete(self) -> None:
        self._disarm()
        self._header_size = 0
        if not self.transport.is_closing():
            super().on_message_complete()

    def _await_headers(self) -> None:
        self._disarm()
        self._in_headers = True
        self._deadline = self.loop.call_later(self._limits.header_s, self._cut, "header_too_slow")

    def _await_piece(self) -> None:
        if self._idle is not None:
            self._idle.cancel()
        self._idle = self.loop.call_later(self._limits.body_idle_s, self._cut, "body_idle")

    def _disarm(self) -> None:
        for timer in (self._deadline, self._idle):
            if timer is not None:
                timer.cancel()
        self._deadline = self._idle = None

    def _cut(self, why: str) -> None:
        self._disarm()
        if not self.transport.is_closing():
            self._closed(why)
            self.transport.abort()
