"""Builds the alerts service: transitions in, alerts and notices out, probes beside them."""

import secrets
from collections.abc import Sequence

from services.alerts.inbound.delivery_loop import DeliveryLoop
from services.alerts.inbound.transition_lane import TransitionLane
from services.alerts.outbound.alert_store import AlertStore
from services.alerts.outbound.channels.webhook import Webhook, WebhookTarget, quiet_http_client
from services.alerts.outbound.notification_store import PostgresNotifications
from services.alerts.settings import Settings
from shared.clock import SystemClock, clock_from
from shared.contracts import topics
from shared.http.probes import Health, probes_app
from shared.http.server import HttpServer
from shared.kafka.durable_log import DurableLog
from shared.lanes.keeper import Lanes
from shared.observability.metrics import Metrics
from shared.process import Parts, worker_name

SERVICE = "alerts"


class Alerts:
    """The service's parts in the order in which they start, and how it is."""

    def __init__(self, settings: Settings) -> None:
        quiet_http_client()
        self._metrics = Metrics()
        worker = settings.worker or worker_name()
        dsn = settings.postgres_dsn.get_secret_value()
        self._channels = channels(settings)
        self._notifications = PostgresNotifications(dsn, application_name=worker)
        self._delivery = DeliveryLoop(
            channels=self._channels,
            store=self._notifications,
            metrics=self._metrics,
            draw=secrets.SystemRandom().random,
        )
        self._log = DurableLog(
            bootstrap=settings.kafka_bootstrap,
            metrics=self._metrics,
            client_id=worker,
            topics=[topics.ALERTS.name],
        )
        self._lanes = Lanes(
            group=settings.group,
            worker=worker,
            topics=[topics.TRANSITIONS.name],
            work=TransitionLane(
                book=AlertStore,
                channels=[channel.name for channel in self._channels],
                metrics=self._metrics,
                alerted=self._delivery.wake,
            ),
            clock=clock_from(settings.clock_file),
            metrics=self._metrics,
            bootstrap=settings.kafka_bootstrap,
            dsn=dsn,
            log=self._log,
            ledger=settings.ledger,
        )
        self._server = HttpServer(
            probes_app(live=self._live, ready=self._ready, metrics=self._metrics),
            host=settings.host,
            port=settings.port,
            service=SERVICE,
            metrics=self._metrics,
        )

    def parts(self) -> Parts:
        outlets = Outlets(self._notifications, self._channels)
        return Parts(
            [self._server, outlets, self._delivery, self._log, self._lanes], live=self._live
        )

    def _live(self) -> Health:
        lanes = self._lanes.health()
        checks = {
            "lanes": "ok" if lanes.live else lanes.reason,
            "delivery": "ok" if self._delivery.alive() else "ended",
            "log": self._log.ended() or "ok",
        }
        return Health(all(each == "ok" for each in checks.values()), checks)

    def _ready(self) -> Health:
        lanes, log = self._lanes.health(), self._log.health()
        checks = {
            "lanes": "ok" if lanes.ready else lanes.reason,
            "log": "ok" if log.ready else log.reason,
            "delivery": "ok" if self._delivery.ready() else "the database does not answer",
        }
        return Health(lanes.ready and log.ready and self._delivery.ready(), checks)


class Outlets:
    """Lets go of the delivery's connections after its last attempt."""

    def __init__(self, notifications: PostgresNotifications, channels: Sequence[Webhook]) -> None:
        self._notifications = notifications
        self._channels = channels

    async def start(self) -> None:
        """Both connect when first used."""

    async def stop(self) -> None:
        for channel in self._channels:
            await channel.close()
        await self._notifications.close()


def channels(settings: Settings) -> list[Webhook]:
    """Return the channels that are configured; without any, alerts are kept and none is sent."""
    if settings.webhook_url is None or settings.webhook_secret is None:
        return []
    target = WebhookTarget(
        url=settings.webhook_url.get_secret_value(),
        secret=settings.webhook_secret.get_secret_value(),
        allow_local=settings.webhook_allow_local,
    )
    # The machine's clock: product time may be driven, and a receiver compares with its own clock.
    return [Webhook(target, clock=SystemClock())]
