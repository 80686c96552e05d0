"""Builds the api: Postgres in, answers out."""

from services.api.inbound.access import Access
from services.api.inbound.answers import Ages
from services.api.inbound.app import Changes, build_app
from services.api.inbound.database_watch import DatabaseWatch
from services.api.outbound.funnel_writer import PostgresFunnelDefinitions
from services.api.outbound.policy_writer import PostgresPolicyChanges
from services.api.outbound.snapshots import PostgresSnapshots
from services.api.settings import Settings
from shared.clock import clock_from
from shared.configuration import parse_keys
from shared.database.product import ProductZone, stored_zone
from shared.http.guard import GuardLimits
from shared.http.keys import KeyBook
from shared.http.probes import Health
from shared.http.server import HttpServer
from shared.observability.metrics import Metrics
from shared.process import Parts

SERVICE = "api"


class Api:
    """The service's parts in the order in which they start."""

    def __init__(self, settings: Settings) -> None:
        metrics = Metrics()
        self._snapshots = PostgresSnapshots(
            settings.postgres_dsn.get_secret_value(), group=settings.group
        )
        self._funnels = PostgresFunnelDefinitions(settings.postgres_dsn.get_secret_value())
        self._policies = PostgresPolicyChanges(settings.postgres_dsn.get_secret_value())
        self._zone = ProductZone(
            settings.postgres_dsn.get_secret_value(),
            zone=settings.product_zone,
            worker=SERVICE,
            reader=stored_zone,
        )
        clock = clock_from(settings.clock_file)
        self._watch = DatabaseWatch(self._snapshots.answers)
        app = build_app(
            self._snapshots,
            Changes(self._funnels, self._policies, self._policies.jobs, clock),
            access=Access(
                KeyBook(parse_keys(settings.keys.get_secret_value())),
                writers=settings.writer_names(),
            ),
            ages=Ages(clock, metrics),
            ready=self._watch.health,
            live=self._live,
            metrics=metrics,
        )
        self._server = HttpServer(
            app,
            host=settings.host,
            port=settings.port,
            service=SERVICE,
            metrics=metrics,
            limits=GuardLimits(connections_per_address=settings.connections_per_address),
        )

    def parts(self) -> Parts:
        return Parts(
            [
                self._zone,
                self._snapshots,
                self._funnels,
                self._policies,
                self._watch,
                self._server,
            ],
            live=self._live,
        )

    def _live(self) -> Health:
        watch, refusal = self._watch.live(), self._zone.ended()
        return Health(watch.ok and not refusal, {**watch.checks, "product zone": refusal or "ok"})
