"""Closes connections that dribble or flood, before they cost memory or a place.

uvicorn with httptools has no deadline for headers and no limit on their size. Measured against it:
600 sockets sending half a header stayed open, and a header of 52 MB was accepted.
"""

import asyncio
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from httptools import HttpParserError, HttpParserUpgrade
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol


@dataclass(frozen=True, slots=True)
class GuardLimits:
    """What one connection may do. The peer's address counts: behind a proxy, use the proxy's limits."""

    header_s: float = 5.0  # from the first byte (or the connection) to the end of the headers
    header_bytes: int = 32 * 1024
    body_idle_s: float = 10.0  # between two pieces of a body
    body_s: float = 60.0  # for a whole body
    read_idle_s: float = 30.0  # without reading anything of an answer that waits to be read
    connections_per_address: int = 512  # 0: no limit


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
        self._reading: asyncio.TimerHandle | None = None
        self._in_headers = True
        # Bytes that were neither body nor the end of a header: headers, trailers, chunk extensions.
        self._unread = 0
        self._address: str | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._address = self.client[0] if self.client else ""
        self._counts[self._address] += 1
        if 0 < self._limits.connections_per_address < self._counts[self._address]:
            self._cut("too_many_connections")
            return
        self._await_headers()

    def connection_lost(self, exc: Exception | None) -> None:
        self._disarm()
        self._stop_reading_watch()
        if self._address is not None:
            self._counts[self._address] -= 1
            if not self._counts[self._address]:
                del self._counts[self._address]
            self._address = None
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        super().pause_writing()
        self._watch_reading()

    def resume_writing(self) -> None:
        self._stop_reading_watch()
        super().resume_writing()

    def data_received(self, data: bytes) -> None:
        if self.transport.is_closing():
            return
        waiting, cycle = self.timeout_keep_alive_task is not None, self.cycle
        self._unread += len(data)
        self._unset_keepalive_if_required()
        try:
            self._feed(data)
        except HttpParserError:
            self.send_400_response("Invalid HTTP request received.")
            return
        if self._unread > self._limits.header_bytes:
            self._cut("header_too_large")
        elif waiting and self._deadline is None and self.cycle is cycle:
            # Blank lines begin no request, but they end the server's wait for the next one.
            self._await_headers()

    def _feed(self, data: bytes) -> None:
        """Parse the piece. A request that offers another protocol is served as if it did not.

        The parser stops behind the headers of such a request, and uvicorn loses its body: Java's
        own client offers HTTP/2 with every first request.
        """
        while True:
            try:
                self.parser.feed_data(data)
            except HttpParserUpgrade as offer:
                if self.parser.get_method() == b"CONNECT":
                    raise HttpParserError("a tunnel is not a request") from None
                data = self._head_without_offer() + data[offer.args[0] :]
            else:
                return

    def _head_without_offer(self) -> bytes:
        version = self.parser.get_http_version().encode()
        lines = [self.parser.get_method() + b" " + self.url + b" HTTP/" + version]
        lines += [name + b": " + value for name, value in self.headers if name != b"upgrade"]
        return b"\r\n".join([*lines, b"", b""])

    def _offers_another_protocol(self) -> bool:
        return bool(self.parser.should_upgrade()) and self.parser.get_method() != b"CONNECT"

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._in_headers = True
        self._await_headers()

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._in_headers:  # a trailer must not pass for a header
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        self._in_headers = False
        self._unread = 0
        self._disarm()
        size = len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers)
        if size > self._limits.header_bytes:
            self._cut("header_too_large")
            return
        if self._offers_another_protocol():
            return  # it begins again without the offer
        super().on_headers_complete()
        self._deadline = self.loop.call_later(self._limits.body_s, self._cut, "body_too_slow")
        self._await_piece()

    def on_body(self, body: bytes) -> None:
        if self.transport.is_closing():
            return  # cut with its headers
        self._unread = 0
        super().on_body(body)
        self._await_piece()

    def on_message_complete(self) -> None:
        self._disarm()
        self._unread = 0
        if not (self.transport.is_closing() or self._offers_another_protocol()):
            super().on_message_complete()

    def _await_headers(self) -> None:
        self._disarm()
        self._deadline = self.loop.call_later(self._limits.header_s, self._cut, "header_too_slow")

    def _await_piece(self) -> None:
        if self._idle is not None:
            self._idle.cancel()
        self._idle = self.loop.call_later(self._limits.body_idle_s, self._cut, "body_idle")

    def _watch_reading(self) -> None:
        unread = self.transport.get_write_buffer_size()
        self._reading = self.loop.call_later(self._limits.read_idle_s, self._check_reading, unread)

    def _check_reading(self, unread: int) -> None:
        if self.transport.get_write_buffer_size() < unread:
            self._watch_reading()
        else:
            self._closed("answer_not_read")
            self.transport.abort()  # also where it is closing: it would wait for its buffer

    def _stop_reading_watch(self) -> None:
        if self._reading is not None:
            self._reading.cancel()
            self._reading = None

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
