"""uvicorn as one part of a process: it starts and stops when told, and leaves signals alone."""

import asyncio
import contextlib
import socket
from collections.abc import Iterator
from typing import Any

import uvicorn

from shared.http.guard import GuardLimits, guarded
from shared.http.requests import measured
from shared.observability import metrics as m
from shared.observability.logging import log
from shared.observability.metrics import Metrics

_logger = log(__name__)

DRAIN_S = 10


class HttpServer:
    """Serves an ASGI application. `port` is the real one once started (0 took a free one)."""

    def __init__(
        self,
        app: Any,
        *,
        host: str,
        port: int,
        service: str,
        metrics: Metrics,
        limits: GuardLimits | None = None,
    ) -> None:
        self.host = host
        self.port = port
        protocol = guarded(
            limits or GuardLimits(), closed=lambda why: metrics.count(m.HTTP_GUARD_CLOSED, why)
        )
        self._server = _QuietServer(
            uvicorn.Config(
                measured(app, service=service, metrics=metrics),
                http=protocol,
                ws="none",
                lifespan="off",
                log_config=None,
                access_log=False,
                server_header=False,
                proxy_headers=False,
                timeout_keep_alive=65,  # above the 60 s that load balancers keep theirs
                timeout_graceful_shutdown=DRAIN_S,
            )
        )
        self._serving: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Listen. Raises OSError when the address is taken."""
        listener = _listen(self.host, self.port)
        self.port = listener.getsockname()[1]
        self._serving = asyncio.create_task(self._server.serve(sockets=[listener]))
        while not self._server.started:
            if self._serving.done():
                await self._serving
                raise OSError("the server ended while it started")
            await asyncio.sleep(0.01)
        _logger.info("http_listening", host=self.host, port=self.port)

    async def stop(self) -> None:
        """Stop accepting, answer what is in hand within `DRAIN_S`, and close."""
        if self._serving is not None:
            self._server.should_exit = True
            await self._serving


class _QuietServer(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals to the process, which stops its parts in order."""
        yield


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
    except OSError:
        listener.close()
        raise
    listener.setblocking(False)
    return listener
