"""A signed POST to one address: the generic channel. Its contract for receivers: docs/alerts.md."""

import asyncio
import contextlib
import logging
import ssl
from collections.abc import Sequence
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from socket import SOCK_STREAM
from typing import Final
from uuid import UUID

import httpx

from services.alerts.domain.delivery import Answer, Result
from services.alerts.domain.signature import sign
from services.alerts.domain.target import why_address_refused, why_url_refused
from shared.clock import Clock

USER_AGENT = "Ebbtide-Alerts/1"
ADDRESSES_TRIED = 3
_AT_FAULT: Final = frozenset(
    {
        HTTPStatus.BAD_REQUEST,
        HTTPStatus.GONE,
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
        HTTPStatus.UNPROCESSABLE_ENTITY,
    }
)


@dataclass(frozen=True, slots=True)
class WebhookTarget:
    """Where to send and how to sign. `allow_local` permits plain http and private addresses."""

    url: str = field(repr=False)  # chat services put their token into the address
    secret: str = field(repr=False)
    allow_local: bool = False


@dataclass(frozen=True, slots=True)
class WebhookLimits:
    """Bounds of one attempt: `total_s` is from looking the host up to the answer's head."""

    connect_s: float = 3.0
    total_s: float = 10.0
    drain_s: float = 2.0
    answer_bytes: int = 64 * 1024


class Webhook:
    """Posts each notice to the target. `clock` is the machine's: receivers compare it with theirs."""

    name = "webhook"

    def __init__(
        self,
        target: WebhookTarget,
        *,
        clock: Clock,
        limits: WebhookLimits | None = None,
        trust: ssl.SSLContext | None = None,
    ) -> None:
        self._target = target
        self._url = httpx.URL(target.url)
        self._host = self._url.raw_host.decode()
        self._port = self._url.port or (443 if self._url.scheme == "https" else 80)
        self._clock = clock
        self._limits = limits or WebhookLimits()
        self._client = httpx.AsyncClient(
            verify=trust if trust is not None else True,
            timeout=httpx.Timeout(self._limits.total_s, connect=self._limits.connect_s),
            # A kept connection would outlive the check of its address.
            limits=httpx.Limits(max_keepalive_connections=0),
            follow_redirects=False,
            trust_env=False,
        )

    async def close(self) -> None:
        await self._client.aclose()

    async def send(self, body: bytes, *, delivery_id: UUID) -> Answer:
        why = why_url_refused(self._target.url, allow_local=self._target.allow_local)
        if why is not None:
            return Answer(Result.PERMANENT, f"address {why}")
        try:
            async with asyncio.timeout(self._limits.total_s):
                addresses = await self._checked_addresses()
                if isinstance(addresses, Answer):
                    return addresses
                response = await self._post(body, delivery_id=delivery_id, addresses=addresses)
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout) as error:
            return Answer(Result.RETRY_AFTER, f"not connected: {type(error).__name__}")
        except (httpx.HTTPError, httpx.InvalidURL, TimeoutError) as error:
            return Answer(Result.UNKNOWN, f"no answer: {type(error).__name__}")
        await self._drain(response)
        return _judge(response)

    async def _checked_addresses(self) -> list[str] | Answer:
        """Resolve the host once. One bad address among several refuses them all."""
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(self._limits.connect_s):
                found = await loop.getaddrinfo(self._host, self._port, type=SOCK_STREAM)
        except (OSError, UnicodeError, TimeoutError):
            return Answer(Result.RETRY_AFTER, "host not found")
        addresses = [str(entry[4][0]) for entry in found]
        refusals = (why_address_refused(address) for address in addresses)
        why = None if self._target.allow_local else next(filter(None, refusals), None)
        return (
            addresses[:ADDRESSES_TRIED] if why is None else Answer(Result.PERMANENT, f"host {why}")
        )

    async def _post(
        self, body: bytes, *, delivery_id: UUID, addresses: Sequence[str]
    ) -> httpx.Response:
        """Post to the first address that takes a connection. The answer's body is left unread."""
        *others, last = (
            self._request(body, delivery_id=delivery_id, address=address) for address in addresses
        )
        for request in others:
            with contextlib.suppress(httpx.ConnectError, httpx.ConnectTimeout):
                return await self._client.send(request, stream=True)
        return await self._client.send(last, stream=True)

    def _request(self, body: bytes, *, delivery_id: UUID, address: str) -> httpx.Request:
        """Connect to the checked address, while TLS and the Host header keep to the host's name."""
        return self._client.build_request(
            "POST",
            self._url.copy_with(host=address, port=self._port),
            content=body,
            headers=self._headers(body, delivery_id),
            extensions={"sni_hostname": self._host},
        )

    def _headers(self, body: bytes, delivery_id: UUID) -> dict[str, str]:
        timestamp = int(self._clock.now().timestamp())
        return {
            "Host": self._url.netloc.decode(),
            "Content-Type": "application/json",
            "User-Agent": USER_AGENT,
            "Ebbtide-Delivery": str(delivery_id),
            "Ebbtide-Timestamp": str(timestamp),
            "Ebbtide-Signature": sign(
                body, timestamp=timestamp, secret=self._target.secret.encode()
            ),
        }

    async def _drain(self, response: httpx.Response) -> None:
        """Let the target finish a short answer. The status has decided: failures don't count."""
        received = 0
        try:
            async with asyncio.timeout(self._limits.drain_s):
                async for chunk in response.aiter_raw():
                    received += len(chunk)
                    if received >= self._limits.answer_bytes:
                        break
        except (httpx.HTTPError, TimeoutError):
            return
        finally:
            await response.aclose()


def _judge(response: httpx.Response) -> Answer:
    """Say what a status means for this notice."""
    status, detail = response.status_code, f"http {response.status_code}"
    if response.is_success:
        return Answer(Result.DELIVERED, detail)
    if HTTPStatus.MULTIPLE_CHOICES <= status < HTTPStatus.BAD_REQUEST or status in _AT_FAULT:
        return Answer(Result.PERMANENT, detail)
    return Answer(Result.RETRY_AFTER, detail, _retry_after_s(response))


def _retry_after_s(response: httpx.Response) -> float | None:
    """Read Retry-After: seconds, or a date compared with the answer's own Date header."""
    wanted = response.headers.get("Retry-After", "").strip()
    if wanted.isascii() and wanted.isdigit():
        return float(wanted[:9])
    try:
        until = parsedate_to_datetime(wanted)
        answered = parsedate_to_datetime(response.headers.get("Date", ""))
        return max(0.0, (until - answered).total_seconds())
    except (ValueError, TypeError, OverflowError):  # the last for a year of many digits
        return None


def quiet_http_client() -> None:
    """Keep httpx from logging each address it calls: a webhook's address may hold a token."""
    for name in ("httpx", "httpcore"):
        logging.getLogger(name).setLevel(logging.WARNING)
