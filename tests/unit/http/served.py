"""A server on the loopback with an application that tells what it was asked, and raw peers of it."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

from prometheus_client import CollectorRegistry

from shared.http.guard import GuardLimits
from shared.http.requests import App, Receive, Scope, Send
from shared.http.server import HttpServer
from shared.observability import metrics as m
from shared.observability.metrics import Metrics

PATIENCE_S = 20.0
KEEP_ALIVE = b"GET /a HTTP/1.1\r\nHost: here\r\n\r\n"


class Peer:
    """One connection, spoken to in bytes."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    def send(self, piece: bytes) -> None:
        self._writer.write(piece)

    async def answer(self) -> tuple[int, dict[str, str], bytes]:
        """Return the status, headers and body of the next answer."""
        async with asyncio.timeout(PATIENCE_S):
            head = (await self._reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
            pairs = (line.split(": ", 1) for line in head[1:] if line)
            headers = {name.lower(): value for name, value in pairs}
            body = await self._reader.readexactly(int(headers["content-length"]))
        return int(head[0].split()[1]), headers, body

    async def end(self) -> bytes:
        """Wait until the server ends the connection; return what it still said."""
        said = b""
        async with asyncio.timeout(PATIENCE_S):
            with suppress(ConnectionError):
                while piece := await self._reader.read(65_536):
                    said += piece
        return said

    async def dribble(self, piece: bytes, *, every_s: float) -> None:
        """Say the piece again and again until the server ends the connection."""
        ending = asyncio.ensure_future(self.end())
        while not ending.done():
            self.send(piece)
            await asyncio.wait({ending}, timeout=every_s)

    def leave(self) -> None:
        self._writer.close()


class Served:
    """The server, and what it counted."""

    def __init__(self, server: HttpServer, registry: CollectorRegistry) -> None:
        self.server = server
        self._registry = registry
        self._peers: list[Peer] = []

    async def peer(self) -> Peer:
        made = Peer(*await asyncio.open_connection(self.server.host, self.server.port))
        self._peers.append(made)
        return made

    def leave(self) -> None:
        for peer in self._peers:
            peer.leave()

    def cut(self, why: str) -> float:
        return self.counted(m.HTTP_GUARD_CLOSED.name, why=why)

    async def until_cut(self, why: str) -> None:
        """Wait until a connection was cut for this reason."""
        something_else = asyncio.Event()
        waiting = asyncio.create_task(something_else.wait())
        async with asyncio.timeout(PATIENCE_S):
            while not self.cut(why):
                await asyncio.wait({waiting}, timeout=0.02)
        waiting.cancel()

    def counted(self, name: str, **labels: str) -> float:
        return self._registry.get_sample_value(name, labels) or 0.0


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer with the request itself."""
    body, more = b"", True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        body += message.get("body", b"")
        more = message.get("more_body", False)
    seen = {
        "method": scope["method"],
        "path": scope["path"],
        "headers": {name.decode(): value.decode() for name, value in scope["headers"]},
        "size": len(body),
    }
    await reply(send, json.dumps(seen).encode())


async def reply(send: Send, body: bytes, *, status: int = 200) -> None:
    length = (b"content-length", str(len(body)).encode())
    await send({"type": "http.response.start", "status": status, "headers": [length]})
    await send({"type": "http.response.body", "body": body})


@asynccontextmanager
async def served(
    app: App | Callable[..., Any] = echo, limits: GuardLimits | None = None
) -> AsyncIterator[Served]:
    registry = CollectorRegistry()
    server = HttpServer(
        app, host="127.0.0.1", port=0, service="test", metrics=Metrics(registry), limits=limits
    )
    await server.start()
    made = Served(server, registry)
    try:
        yield made
    finally:
        made.leave()
        await server.stop()
