"""Ingest in memory: the real application on the fake log, without a socket."""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import httpx
import msgspec
from prometheus_client import CollectorRegistry

from services.ingest.inbound.events_http import EventsHttp
from services.ingest.inbound.site import site
from services.ingest.outbound.event_topic import KafkaEventTopic
from shared.contracts import topics
from shared.contracts.codec import decode_event
from shared.contracts.events import EventEnvelope
from shared.http.keys import KeyBook
from shared.http.probes import Health
from shared.kafka.log import LogRecord
from shared.observability.metrics import Metrics
from shared.testing.broker import FakeLog

NOW = datetime(2026, 5, 4, 12, tzinfo=UTC)
KEY = "key-of-the-web-app"


@dataclass
class StoppedClock:
    instant: datetime = NOW

    def now(self) -> datetime:
        return self.instant


@dataclass
class Site:
    log: FakeLog = field(default_factory=FakeLog)
    clock: StoppedClock = field(default_factory=StoppedClock)

    def __post_init__(self) -> None:
        metrics = Metrics(CollectorRegistry())
        self.app = EventsHttp(
            keys=KeyBook({KEY: "web", "another-key-of-web": "web"}),
            topic=KafkaEventTopic(self.log, metrics=metrics),
            clock=self.clock,
            machine=self.clock,
            metrics=metrics,
            others=site(
                live=lambda: Health(ok=True), ready=lambda: Health(ok=True), metrics=metrics
            ),
        )
        self.client = httpx.AsyncClient(
            transport=httpx.ASGITransport(app=self.app, raise_app_exceptions=False),
            base_url="http://ingest",
        )

    async def post(
        self, path: str, body: Any, *, key: str | None = KEY, headers: dict[str, str] | None = None
    ) -> httpx.Response:
        content = body if isinstance(body, bytes) else msgspec.json.encode(body)
        return await self.client.post(
            path,
            content=content,
            headers=headers,
            auth=httpx.USE_CLIENT_DEFAULT if key is None else (key, ""),
        )

    def records(self, topic: str) -> list[LogRecord]:
        return [
            record
            for (name, _), records in self.log.written.items()
            if name == topic
            for record in records
        ]

    def events(self) -> list[EventEnvelope]:
        return [decode_event(record.value) for record in self.records(topics.EVENTS.name)]

    def dead_letters(self) -> list[LogRecord]:
        return self.records(topics.DEAD_LETTER.name)
