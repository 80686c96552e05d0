"""The webhook channel against a real HTTP server."""

import asyncio
import json
import logging
import socket
import ssl
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import pytest
import pytest_asyncio
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from services.alerts.domain.delivery import Answer, Result
from services.alerts.domain.signature import sign
from services.alerts.outbound.channels.webhook import (
    Webhook,
    WebhookLimits,
    WebhookTarget,
    quiet_http_client,
)
from tests.integration.alerts.receiver import Receiver, answer, receiver

SECRET = "a-secret-of-the-webhook"
DELIVERY = UUID("11111111-2222-5333-8444-555555555555")
BODY = json.dumps({"v": 1, "type": "alert.fired", "text": "流失"}, ensure_ascii=False).encode()
SENT_AT = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
QUICK = WebhookLimits(connect_s=1.0, total_s=0.5, drain_s=0.3)


class StoppedClock:
    def now(self) -> datetime:
        return SENT_AT


@pytest_asyncio.fixture
async def target() -> AsyncIterator[Receiver]:
    async with receiver() as running:
        yield running


async def send(
    url: str,
    *,
    allow_local: bool = True,
    limits: WebhookLimits = QUICK,
    trust: ssl.SSLContext | None = None,
) -> Answer:
    channel = Webhook(
        WebhookTarget(url=url, secret=SECRET, allow_local=allow_local),
        clock=StoppedClock(),
        limits=limits,
        trust=trust,
    )
    try:
        return await channel.send(BODY, delivery_id=DELIVERY)
    finally:
        await channel.close()


async def send_to(target: Receiver) -> Answer:
    return await send(f"http://127.0.0.1:{target.port}/hook?team=a")


async def test_a_notice_arrives_whole_signed_and_with_its_delivery_id(target: Receiver) -> None:
    result = await send_to(target)

    assert result == Answer(Result.DELIVERED, "http 204")
    [got] = target.received
    assert got.request == "POST /hook?team=a HTTP/1.1"
    assert got.body == BODY
    assert got.headers["host"] == f"127.0.0.1:{target.port}"
    assert got.headers["content-type"] == "application/json"
    assert got.headers["ebbtide-delivery"] == str(DELIVERY)
    timestamp = int(got.headers["ebbtide-timestamp"])
    assert timestamp == int(SENT_AT.timestamp())
    expected = sign(got.body, timestamp=timestamp, secret=SECRET.encode())
    assert got.headers["ebbtide-signature"] == expected


@pytest.mark.parametrize(
    ("status", "result"),
    [
        ("200 OK", Result.DELIVERED),
        ("202 Accepted", Result.DELIVERED),
        ("301 Moved Permanently", Result.PERMANENT),
        ("304 Not Modified", Result.PERMANENT),
        ("400 Bad Request", Result.PERMANENT),
        ("401 Unauthorized", Result.RETRY_AFTER),
        ("404 Not Found", Result.RETRY_AFTER),
        ("408 Request Timeout", Result.RETRY_AFTER),
        ("410 Gone", Result.PERMANENT),
        ("413 Content Too Large", Result.PERMANENT),
        ("422 Unprocessable Content", Result.PERMANENT),
        ("429 Too Many Requests", Result.RETRY_AFTER),
        ("500 Internal Server Error", Result.RETRY_AFTER),
        ("503 Service Unavailable", Result.RETRY_AFTER),
    ],
)
async def test_the_status_decides(target: Receiver, status: str, result: Result) -> None:
    target.answers = [answer(status)]

    assert await send_to(target) == Answer(result, f"http {status[:3]}")


@pytest.mark.parametrize(
    ("headers", "asked"),
    [
        (["Retry-After: 120"], 120.0),
        (["Retry-After: 0"], 0.0),
        (["Retry-After: 99999999999999999999"], 999_999_999.0),
        (["Retry-After: -5"], None),
        (["Retry-After: soon"], None),
        (["Retry-After: ²"], None),
        (["Retry-After: Wed, 21 Oct 99999999999 07:28:00 GMT"], None),
        (
            [
                "Date: Tue, 24 Nov 2026 12:00:00 GMT",
                "Retry-After: Tue, 24 Nov 2026 12:01:30 GMT",
            ],
            90.0,
        ),
        (["Retry-After: Tue, 24 Nov 2026 12:01:30 GMT"], None),
    ],
)
async def test_retry_after_is_read_and_nonsense_ignored(
    target: Receiver, headers: list[str], asked: float | None
) -> None:
    target.answers = [answer("429 Too Many Requests", *headers)]

    assert (await send_to(target)).retry_after_s == asked


async def test_a_redirect_is_not_followed(target: Receiver) -> None:
    target.answers = [answer("302 Found", f"Location: http://127.0.0.1:{target.port}/other")]

    assert await send_to(target) == Answer(Result.PERMANENT, "http 302")
    assert len(target.received) == 1


async def test_a_target_that_does_not_answer_in_time_may_have_taken_it(target: Receiver) -> None:
    async def stay_silent(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        await reader.read()  # until the client leaves

    target.answers = [stay_silent]

    assert await send_to(target) == Answer(Result.UNKNOWN, "no answer: TimeoutError")


async def test_a_head_that_drips_is_cut_at_the_total_time(target: Receiver) -> None:
    async def drip(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nX: ")
        while True:
            writer.write(b"x")
            await writer.drain()
            await asyncio.sleep(0.02)

    target.answers = [drip]
    started = asyncio.get_running_loop().time()

    result = await send_to(target)

    assert result.result is Result.UNKNOWN
    assert asyncio.get_running_loop().time() - started < 3


async def test_a_connection_closed_before_the_answer_may_have_taken_it(target: Receiver) -> None:
    target.answers = [b""]

    assert (await send_to(target)).result is Result.UNKNOWN


async def test_an_answer_that_is_not_http_is_unknown(target: Receiver) -> None:
    target.answers = [b"SSH-2.0-OpenSSH_9.9\r\n\r\n"]

    assert (await send_to(target)).result is Result.UNKNOWN


async def test_an_endless_answer_is_left_after_64_kib_and_the_status_counts(
    target: Receiver,
) -> None:
    written = 0

    async def pour(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal written
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n")
        while written < 200_000_000:
            writer.write(b"x" * 65_536)
            await writer.drain()
            written += 65_536

    target.answers = [pour]

    assert await send_to(target) == Answer(Result.DELIVERED, "http 200")
    assert written < 50_000_000  # what the kernel's buffers took, not what was offered


async def test_a_body_that_never_ends_does_not_undo_a_good_status(target: Receiver) -> None:
    async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nx")
        await writer.drain()
        await reader.read()  # until the client leaves

    target.answers = [hang]

    assert await send_to(target) == Answer(Result.DELIVERED, "http 200")


async def test_a_target_that_is_down_has_certainly_not_taken_it() -> None:
    with socket.socket() as held:  # bound and not listening: connections are refused
        held.bind(("127.0.0.1", 0))

        result = await send(f"http://127.0.0.1:{held.getsockname()[1]}/")

    assert result == Answer(Result.RETRY_AFTER, "not connected: ConnectError")


async def test_a_host_that_does_not_exist_is_tried_again_later() -> None:
    limits = WebhookLimits(connect_s=5.0)

    result = await send("https://no-such-host.invalid/", limits=limits)

    assert result == Answer(Result.RETRY_AFTER, "host not found")


async def test_the_next_address_of_a_host_is_tried_when_the_first_refuses(
    target: Receiver,
) -> None:
    # `localhost` may be ::1 first, where nobody listens.
    result = await send(f"http://localhost:{target.port}/hook")

    assert result.result is Result.DELIVERED
    assert target.received[0].headers["host"] == f"localhost:{target.port}"


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "169.254.169.254", "[::1]"])
async def test_no_connection_is_made_to_an_address_inside_the_network(
    target: Receiver, host: str
) -> None:
    result = await send(f"https://{host}:{target.port}/", allow_local=False)

    assert result == Answer(Result.PERMANENT, "host is not a public address")
    assert target.received == []


async def test_plain_http_is_refused_unless_local_targets_are_allowed(target: Receiver) -> None:
    result = await send(f"http://127.0.0.1:{target.port}/", allow_local=False)

    assert result == Answer(Result.PERMANENT, "address must begin with https://")
    assert target.received == []


async def test_tls_checks_the_name_of_the_host_though_it_connects_to_the_address(
    tmp_path: Path,
) -> None:
    served, trust = certificate_for("localhost", tmp_path)
    async with receiver(tls=served) as target:
        limits = WebhookLimits(total_s=5.0)

        good = await send(f"https://localhost:{target.port}/", trust=trust, limits=limits)
        other = await send(f"https://127.0.0.1:{target.port}/", trust=trust, limits=limits)
        untrusted = await send(f"https://localhost:{target.port}/", limits=limits)

    assert good == Answer(Result.DELIVERED, "http 204")
    assert other.result is Result.RETRY_AFTER
    assert untrusted.result is Result.RETRY_AFTER
    assert len(target.received) == 1


async def test_neither_the_secret_nor_the_address_is_logged(
    target: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    quiet_http_client()
    caplog.set_level(logging.INFO)

    await send(f"http://127.0.0.1:{target.port}/hook/token-in-the-path")

    assert len(target.received) == 1
    assert "token-in-the-path" not in caplog.text
    assert SECRET not in caplog.text
    assert "token-in-the-path" not in repr(
        WebhookTarget(url="https://x/token-in-the-path", secret=SECRET)
    )
    assert SECRET not in repr(WebhookTarget(url="https://x/", secret=SECRET))


def certificate_for(host: str, directory: Path) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """Return a server's context for the host, and a client's that trusts nothing else."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, host)])
    now = datetime.fromtimestamp((directory.stat()).st_mtime, UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(host)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = certificate.public_bytes(serialization.Encoding.PEM)
    both = directory / "both.pem"
    both.write_bytes(
        pem
        + key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    server.load_cert_chain(both)
    return server, ssl.create_default_context(cadata=pem.decode())
