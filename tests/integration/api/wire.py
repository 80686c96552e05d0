"""A wire to a server that a test can freeze: it takes everything and passes nothing on."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from urllib.parse import urlsplit


class Wire:
    def __init__(self, host: str, port: int) -> None:
        self._there = (host, port)
        self._passes = asyncio.Event()
        self._passes.set()
        self._ends: set[asyncio.StreamWriter] = set()

    def freeze(self) -> None:
        self._passes.clear()

    def thaw(self) -> None:
        self._passes.set()

    def cut(self) -> None:
        for end in self._ends:
            end.transport.abort()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        onward, back = await asyncio.open_connection(*self._there)
        self._ends |= {writer, back}
        async with asyncio.TaskGroup() as both:
            both.create_task(self._pass(reader, back))
            both.create_task(self._pass(onward, writer))

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            while piece := await reader.read(65_536):
                await self._passes.wait()
                writer.write(piece)
        writer.close()


@asynccontextmanager
async def wire_to(dsn: str) -> AsyncIterator[tuple[Wire, str]]:
    """Give a wire to the database, and the database's address at its near end."""
    there = urlsplit(dsn)
    assert there.hostname is not None
    assert there.port is not None
    wire = Wire(there.hostname, there.port)
    server = await asyncio.start_server(wire.serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    try:
        yield wire, dsn.replace(f"{there.hostname}:{there.port}", f"127.0.0.1:{port}")
    finally:
        wire.thaw()
        wire.cut()
        server.close()
