"""A bare HTTP/1.1 client: one request at a time on one connection, so that it costs little itself."""

import asyncio
import re
from typing import NamedTuple, cast

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_END_OF_HEAD = b"\r\n\r\n"


class Answer(NamedTuple):
    status: int
    body: bytes


class Link(asyncio.Protocol):
    """One kept-alive connection."""

    def __init__(self) -> None:
        self._received = bytearray()
        self._answer: asyncio.Future[Answer] | None = None
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # A stream's transport, whichever loop made it: uvloop's has asyncio's methods, not its class.
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self._received += data
        answer = parse(self._received)
        if answer is not None and self._answer is not None:
            self._received.clear()
            self._answer.set_result(answer)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(ConnectionError(f"closed by the server: {exc}"))

    async def ask(self, request: bytes) -> Answer:
        """Send one request and return its answer."""
        assert self._transport is not None
        self._answer = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        return await self._answer

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()


async def connect(host: str, port: int) -> Link:
    _, link = await asyncio.get_running_loop().create_connection(Link, host, port)
    return link


def parse(received: bytearray) -> Answer | None:
    """Return the answer once all of it is there."""
    head = received.find(_END_OF_HEAD)
    if head < 0:
        return None
    length = _LENGTH.search(received, 0, head)
    if length is None:
        raise ValueError("the server did not say how long its answer is")
    begin = head + len(_END_OF_HEAD)
    body = bytes(received[begin : begin + int(length[1])])
    return Answer(int(received[9:12]), body) if len(body) == int(length[1]) else None


def post(path: str, *, host: str, authorization: str, body: bytes) -> bytes:
    """Return the bytes of a request."""
    head = (
        f"POST {path} HTTP/1.1\r\nHost: {host}\r\nAuthorization: {authorization}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def get(path: str, *, host: str, authorization: str) -> bytes:
    head = f"GET {path} HTTP/1.1\r\nHost: {host}\r\nAuthorization: {authorization}\r\n\r\n"
    return head.encode()
