"""The server as a part of a process: it starts once it listens, and stops once it has answered."""

import asyncio
import socket

import pytest
from prometheus_client import CollectorRegistry

from shared.http.requests import Receive, Scope, Send
from shared.http.server import HttpServer
from shared.observability import metrics as m
from shared.observability.metrics import Metrics
from tests.unit.http.served import KEEP_ALIVE, PATIENCE_S, echo, reply, served


def a_server(*, host: str = "127.0.0.1", port: int = 0) -> HttpServer:
    return HttpServer(
        echo, host=host, port=port, service="test", metrics=Metrics(CollectorRegistry())
    )


async def test_port_0_takes_a_free_port_and_tells_it() -> None:
    async with served() as server:
        peer = await server.peer()
        peer.send(KEEP_ALIVE)

        assert server.server.port > 0
        assert (await peer.answer())[0] == 200


@pytest.mark.skipif(not socket.has_ipv6, reason="no IPv6 here")
async def test_an_address_of_ipv6_is_listened_on() -> None:
    server = a_server(host="::1")

    await server.start()
    reader, writer = await asyncio.open_connection("::1", server.port)
    writer.write(KEEP_ALIVE)

    assert (await reader.readline()).startswith(b"HTTP/1.1 200")
    writer.close()
    await server.stop()


async def test_a_taken_port_is_an_error_at_the_start() -> None:
    async with served() as server:
        with pytest.raises(OSError, match="in use"):
            await a_server(port=server.server.port).start()


async def test_a_server_that_never_started_can_be_stopped() -> None:
    await a_server().stop()


async def test_stopping_answers_what_is_in_hand_and_takes_nothing_new() -> None:
    begun, go = asyncio.Event(), asyncio.Event()

    async def slow(_scope: Scope, _receive: Receive, send: Send) -> None:
        begun.set()
        await go.wait()
        await reply(send, b"done")

    async with served(slow) as server:
        peer = await server.peer()
        peer.send(KEEP_ALIVE)
        async with asyncio.timeout(PATIENCE_S):
            await begun.wait()

        stopping = asyncio.create_task(server.server.stop())
        while (refused := await _is_refused(server.server.port)) is False:
            assert not stopping.done()
        go.set()

        assert refused
        assert (await peer.answer())[2] == b"done"
        async with asyncio.timeout(PATIENCE_S):
            await stopping


async def test_stopping_does_not_wait_for_those_who_only_stay_connected() -> None:
    async with served() as server:
        peer = await server.peer()
        peer.send(KEEP_ALIVE)
        await peer.answer()

        async with asyncio.timeout(PATIENCE_S):
            await server.server.stop()

        assert await peer.end() == b""


async def test_an_answer_does_not_name_the_server() -> None:
    async with served() as server:
        peer = await server.peer()
        peer.send(KEEP_ALIVE)
        _, headers, _ = await peer.answer()

        assert "server" not in headers


async def test_a_forwarded_address_is_not_believed() -> None:
    async def who(scope: Scope, _receive: Receive, send: Send) -> None:
        await reply(send, f"{scope['scheme']} {scope['client'][0]}".encode())

    async with served(who) as server:
        peer = await server.peer()
        peer.send(KEEP_ALIVE[:-2] + b"X-Forwarded-Proto: https\r\nX-Forwarded-For: 1.2.3.4\r\n\r\n")

        assert (await peer.answer())[2] == b"http 127.0.0.1"


async def test_requests_are_counted() -> None:
    async with served() as server:
        peer = await server.peer()
        peer.send(KEEP_ALIVE)
        await peer.answer()

        labels = {"service": "test", "route": "unmatched", "method": "GET", "status": "200"}
        assert server.counted(m.HTTP_REQUESTS.name, **labels) == 1


async def _is_refused(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except ConnectionError:
        return True
    writer.close()
    return False
