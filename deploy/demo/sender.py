"""Sends events through the public address in batches, and again where it is told to."""

from collections.abc import Sequence
from types import TracebackType
from typing import Self

import httpx
import stamina

from deploy.demo.actions import Event

BATCH = 500
ATTEMPTS_S = 120.0


class Refused(Exception):
    """Ingest does not take what the demo sends; the message says why."""


class NotNow(Exception):
    """Ingest asks to send the same again."""


class Sender:
    """One connection to ingest, with the write key of the simulated product."""

    def __init__(
        self, url: str, write_key: str, *, transport: httpx.BaseTransport | None = None
    ) -> None:
        self._client = httpx.Client(
            base_url=url,
            auth=(write_key, ""),
            timeout=30.0,
            trust_env=False,
            transport=transport,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        self._client.close()

    def send(self, events: Sequence[Event]) -> None:
        """Send the events, each acknowledged when this returns. Raises Refused, NotNow."""
        for start in range(0, len(events), BATCH):
            self._send_batch(events[start : start + BATCH])

    def _send_batch(self, events: Sequence[Event]) -> None:
        """Try for two minutes: repeats do no harm, ingest's answer decides when all of it is there."""
        for attempt in stamina.retry_context(
            on=(NotNow, httpx.TransportError), attempts=None, timeout=ATTEMPTS_S, wait_max=5.0
        ):
            with attempt:
                answer = self._client.post("/v1/batch", json={"batch": list(events)})
                if answer.status_code == httpx.codes.SERVICE_UNAVAILABLE:
                    raise NotNow(answer.text[:200])
                if answer.status_code != httpx.codes.OK or answer.json()["errors"]:
                    raise Refused(f"{answer.status_code}: {answer.text[:500]}")
