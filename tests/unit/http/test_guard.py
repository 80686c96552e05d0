"""The guard on a real socket: whoever dribbles or floods is cut, and everyone else is served."""

import asyncio
import json
from typing import Any

import pytest

from shared.http.guard import GuardLimits
from shared.http.requests import Receive, Scope, Send
from tests.unit.http.served import KEEP_ALIVE, Peer, Served, echo, reply, served

SHORT_S = 0.2
POST = b"POST /a HTTP/1.1\r\nHost: here\r\n"
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"


async def ask(peer: Peer, request: bytes = KEEP_ALIVE) -> dict[str, Any]:
    peer.send(request)
    status, _, body = await peer.answer()
    assert status == 200
    seen: dict[str, Any] = json.loads(body)
    return seen


async def is_served(server: Served) -> bool:
    seen = await ask(await server.peer())
    return bool(seen["path"] == "/a")


@pytest.mark.parametrize("begun", [b"", b"G", b"GET /a HTTP/1.1\r\nHost: he", KEEP_ALIVE[:-2]])
async def test_a_header_that_does_not_end_is_cut(begun: bytes) -> None:
    async with served(limits=GuardLimits(header_s=SHORT_S)) as server:
        peer = await server.peer()
        peer.send(begun)

        assert await peer.end() == b""
        assert server.cut("header_too_slow") == 1


async def test_a_header_that_dribbles_is_cut_all_the_same() -> None:
    async with served(limits=GuardLimits(header_s=SHORT_S)) as server:
        peer = await server.peer()
        peer.send(b"GET /a HTTP/1.1\r\n")

        await peer.dribble(b"X-A: b\r\n", every_s=0.02)

        assert server.cut("header_too_slow") == 1


@pytest.mark.parametrize("begun", [b"GET /b", b"\r\n"], ids=["half a header", "a blank line"])
async def test_the_next_request_on_a_connection_has_the_same_deadline(begun: bytes) -> None:
    async with served(limits=GuardLimits(header_s=SHORT_S)) as server:
        peer = await server.peer()
        await ask(peer)
        peer.send(begun)

        assert await peer.end() == b""
        assert server.cut("header_too_slow") == 1


async def test_a_blank_line_before_a_request_is_let_be() -> None:
    async with served() as server:
        peer = await server.peer()

        seen = [await ask(peer, b"\r\n" + KEEP_ALIVE) for _ in range(3)]

        assert [each["path"] for each in seen] == ["/a"] * 3


@pytest.mark.parametrize(
    "request_",
    [
        b"GET /a HTTP/1.1\r\nX-Long: " + b"x" * 5_000,
        b"GET /a HTTP/1.1\r\nX-Long: " + b"x" * 5_000 + b"\r\n\r\n",
        b"GET /" + b"a" * 5_000 + b" HTTP/1.1\r\nHost: here\r\n\r\n",
        b"GET /a HTTP/1.1\r\n" + b"X-Many: 1\r\n" * 500 + b"\r\n",
        POST + b"X-Long: " + b"x" * 5_000 + b"\r\nContent-Length: 2\r\n\r\nab",
    ],
    ids=["unended", "one header", "address", "many headers", "with a body"],
)
async def test_a_header_that_is_too_large_is_cut(request_: bytes) -> None:
    async with served(limits=GuardLimits(header_bytes=1_000)) as server:
        peer = await server.peer()
        peer.send(request_)

        assert await peer.end() == b""
        assert server.cut("header_too_large") == 1
        assert await is_served(server)


@pytest.mark.parametrize(
    "flood",
    [
        b"0\r\nX-Trailer: " + b"x" * 300_000,
        b"0\r\n" + b"X-Trailer: 1\r\n" * 30_000,
        b"1;" + b"x" * 300_000,
    ],
    ids=["one trailer", "many trailers", "an extension"],
)
async def test_what_surrounds_the_chunks_of_a_body_is_bounded_too(flood: bytes) -> None:
    async with served(limits=GuardLimits(header_bytes=1_000)) as server:
        peer = await server.peer()
        peer.send(CHUNKED + b"2\r\nab\r\n" + flood)

        assert await peer.end() == b""
        assert server.cut("header_too_large") == 1


async def test_a_trailer_does_not_pass_for_a_header() -> None:
    async with served() as server:
        peer = await server.peer()

        seen = await ask(peer, CHUNKED + b"2\r\nab\r\n0\r\nAuthorization: Bearer x\r\n\r\n")

        assert "authorization" not in seen["headers"]
        assert seen["size"] == 2


@pytest.mark.parametrize(
    ("request_", "size"),
    [
        (POST + b"Content-Length: 100000\r\n\r\n" + b"x" * 100_000, 100_000),
        (CHUNKED + b"1\r\nx\r\n" * 20_000 + b"0\r\n\r\n", 20_000),
        (CHUNKED + b"186A0\r\n" + b"x" * 100_000 + b"\r\n0\r\n\r\n", 100_000),
    ],
    ids=["whole", "tiny chunks", "one chunk"],
)
async def test_a_body_does_not_count_as_a_header(request_: bytes, size: int) -> None:
    async with served(limits=GuardLimits(header_bytes=1_000)) as server:
        peer = await server.peer()

        assert (await ask(peer, request_))["size"] == size
        assert (await ask(peer, request_))["size"] == size


async def test_a_body_that_stops_is_cut_and_its_application_told() -> None:
    told = asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await echo(scope, receive, send)
        told.set()

    async with served(app, GuardLimits(body_idle_s=SHORT_S)) as server:
        peer = await server.peer()
        peer.send(POST + b"Content-Length: 10\r\n\r\nabc")

        assert await peer.end() == b""
        assert server.cut("body_idle") == 1
        async with asyncio.timeout(10):
            await told.wait()


async def test_a_body_that_dribbles_has_a_deadline_for_the_whole() -> None:
    async with served(limits=GuardLimits(body_idle_s=60, body_s=SHORT_S)) as server:
        peer = await server.peer()
        peer.send(POST + b"Content-Length: 1000000\r\n\r\n")

        await peer.dribble(b"x", every_s=0.02)

        assert server.cut("body_too_slow") == 1


async def test_an_answer_may_take_longer_than_every_limit_of_its_request() -> None:
    async def app(_scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        later = asyncio.Event()
        asyncio.get_running_loop().call_later(4 * SHORT_S, later.set)
        await later.wait()
        await reply(send, b"{}")

    limits = GuardLimits(header_s=SHORT_S, body_idle_s=SHORT_S, body_s=SHORT_S)
    async with served(app, limits) as server:
        peer = await server.peer()

        assert await ask(peer, POST + b"Content-Length: 2\r\n\r\nab") == {}
        # On a connection that has waited for its next request, too.
        assert await ask(peer, POST + b"Content-Length: 2\r\n\r\nab\r\n") == {}


async def large(_scope: Scope, _receive: Receive, send: Send) -> None:
    await reply(send, b"x" * 50_000_000)


@pytest.mark.parametrize("more", [b"", b"Connection: close\r\n"])
async def test_an_answer_that_is_not_read_is_cut(more: bytes) -> None:
    async with served(large, GuardLimits(read_idle_s=SHORT_S)) as server:
        peer = await server.peer()
        peer.send(KEEP_ALIVE[:-2] + more + b"\r\n")

        await server.until_cut("answer_not_read")

        assert len(await peer.end()) < 50_000_000


async def test_a_large_answer_that_is_read_is_whole() -> None:
    async with served(large) as server:
        peer = await server.peer()
        for _ in range(2):
            peer.send(KEEP_ALIVE)

            assert len((await peer.answer())[2]) == 50_000_000


async def test_an_address_has_so_many_connections_and_no_more() -> None:
    async with served(limits=GuardLimits(connections_per_address=2)) as server:
        first, second = await server.peer(), await server.peer()
        await ask(first)
        await ask(second)

        third = await server.peer()

        assert await third.end() == b""
        assert server.cut("too_many_connections") == 1
        assert (await ask(first))["path"] == "/a"


async def test_an_address_has_any_number_of_connections_where_there_is_no_limit() -> None:
    async with served(limits=GuardLimits(connections_per_address=0)) as server:
        peers = [await server.peer() for _ in range(600)]

        assert [(await ask(peer))["path"] for peer in peers] == ["/a"] * 600


async def test_a_connection_that_ends_makes_room_for_another() -> None:
    async with served(limits=GuardLimits(connections_per_address=1)) as server:
        for _ in range(5):
            peer = await server.peer()
            peer.send(b"GET /a HTTP/1.1\r\nHost: here\r\nConnection: close\r\n\r\n")

            assert await peer.end() != b""


async def test_those_who_dribble_take_nothing_from_others() -> None:
    async with served(limits=GuardLimits(header_s=60)) as server:
        for _ in range(50):
            (await server.peer()).send(b"GET /")

        assert await is_served(server)


async def test_pipelined_requests_are_answered_in_order() -> None:
    async with served() as server:
        peer = await server.peer()
        peer.send(b"".join(b"GET /%d HTTP/1.1\r\nHost: here\r\n\r\n" % n for n in range(5)))

        paths = [json.loads((await peer.answer())[2])["path"] for _ in range(5)]

        assert paths == ["/0", "/1", "/2", "/3", "/4"]


async def test_a_client_that_offers_http_2_is_served_over_http_1() -> None:
    offer = POST + b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AA\r\n"
    async with served() as server:
        peer = await server.peer()

        seen = [await ask(peer, offer + b"Content-Length: 2\r\n\r\nab") for _ in range(2)]

        assert [each["size"] for each in seen] == [2, 2]


async def test_offers_of_another_protocol_may_be_pipelined() -> None:
    offer = b"GET /%d HTTP/1.1\r\nHost: here\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n"
    async with served() as server:
        peer = await server.peer()
        peer.send(b"".join(offer % number for number in range(2_000)))

        paths = [json.loads((await peer.answer())[2])["path"] for _ in range(2_000)]

        assert paths == [f"/{number}" for number in range(2_000)]


@pytest.mark.parametrize("target", [b"elsewhere:443", b"/a", b"*"])
async def test_a_tunnel_is_refused(target: bytes) -> None:
    async with served() as server:
        peer = await server.peer()
        peer.send(b"CONNECT " + target + b" HTTP/1.1\r\nHost: elsewhere:443\r\n\r\n")

        assert (await peer.end()).startswith(b"HTTP/1.1 400")


async def test_what_is_not_http_is_refused() -> None:
    async with served() as server:
        peer = await server.peer()
        peer.send(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" * 10)

        assert (await peer.end()).startswith(b"HTTP/1.1 400")
