"""Builds ingest: HTTP in, the log out."""

from services.ingest.inbound.events_http import EventsHttp
from services.ingest.inbound.site import site
from services.ingest.outbound.event_topic import KafkaEventTopic
from services.ingest.settings import Settings
from shared.clock import SystemClock, clock_from
from shared.configuration import parse_keys
from shared.contracts import topics
from shared.http.guard import GuardLimits
from shared.http.keys import KeyBook
from shared.http.probes import Health
from shared.http.server import HttpServer
from shared.kafka.durable_log import DurableLog
from shared.observability.metrics import Metrics
from shared.process import Parts, worker_name

SERVICE = "ingest"


class Ingest:
    """The service's parts in the order in which they start, and how it is."""

    def __init__(self, settings: Settings) -> None:
        metrics = Metrics()
        self._log = DurableLog(
            bootstrap=settings.kafka_bootstrap,
            metrics=metrics,
            client_id=worker_name(),
            topics=[topics.EVENTS.name, topics.FEEDBACK.name, topics.DEAD_LETTER.name],
        )
        app = EventsHttp(
            keys=KeyBook(parse_keys(settings.write_keys.get_secret_value())),
            topic=KafkaEventTopic(self._log, metrics=metrics),
            clock=clock_from(settings.clock_file),
            machine=SystemClock(),
            metrics=metrics,
            others=site(live=self._live, ready=self._ready, metrics=metrics),
        )
        self._server = HttpServer(
            app,
            host=settings.host,
            port=settings.port,
            service=SERVICE,
            metrics=metrics,
            limits=GuardLimits(
                body_s=settings.body_s,
                connections_per_address=settings.connections_per_address,
            ),
        )

    def parts(self) -> Parts:
        return Parts([self._log, self._server], live=self._live)

    def _live(self) -> Health:
        ended = self._log.ended()
        return Health(not ended, {"log": ended or "ok"})

    def _ready(self) -> Health:
        log = self._log.health()
        return Health(log.ready, {"log": "ok" if log.ready else log.reason})
