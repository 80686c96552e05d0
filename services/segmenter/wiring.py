"""Builds the segmenter: events and time in, tiers and transitions out."""

from datetime import timedelta
from functools import partial
from zoneinfo import ZoneInfo

from services.segmenter.domain.calendar import Calendar
from services.segmenter.inbound.dead_letter_lane import DeadLetterLane
from services.segmenter.inbound.event_lane import EventLane
from services.segmenter.inbound.funnel_jobs import BACKFILL, DELETE, BackfillFunnel, DeleteFunnel
from services.segmenter.inbound.job_runner import JobRunner
from services.segmenter.inbound.live_funnels import LiveFunnels
from services.segmenter.inbound.log_keeper import KeptFor, LogKeeper
from services.segmenter.inbound.policy_jobs import APPLY, PREVIEW, ApplyPolicy, PreviewPolicy
from services.segmenter.inbound.reconciler import Pace, Reconciler
from services.segmenter.inbound.zone_gate import ZoneGate
from services.segmenter.outbound import event_log, job_store, recounting
from services.segmenter.outbound.funnel_log import PostgresFunnelLog
from services.segmenter.outbound.funnel_remains import PostgresFunnelRemains
from services.segmenter.outbound.funnel_store import PostgresFunnelStore
from services.segmenter.outbound.identity_store import PostgresIdentities
from services.segmenter.outbound.partitions import Partitions
from services.segmenter.outbound.policy_book import PostgresPolicyBook
from services.segmenter.outbound.profile_store import KnownMerges, PostgresStore
from services.segmenter.settings import Settings
from services.segmenter.usecases.run_jobs import JobKind
from shared.clock import clock_from
from shared.contracts import topics
from shared.database.connection import Connection
from shared.database.product import ProductZone, settle_zone
from shared.http.probes import Health, probes_app
from shared.http.server import HttpServer
from shared.kafka.durable_log import DurableLog
from shared.lanes.keeper import Lanes, LanesHealth
from shared.lanes.work import LaneWork
from shared.observability.metrics import Metrics
from shared.process import Parts, worker_name

SERVICE = "segmenter"


class Segmenter:
    """The service's parts in the order in which they start, and how it is."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._metrics = Metrics()
        self._worker = settings.worker or worker_name()
        self._dsn = settings.postgres_dsn.get_secret_value()
        self._log = DurableLog(
            bootstrap=settings.kafka_bootstrap,
            metrics=self._metrics,
            client_id=self._worker,
            topics=[topics.TRANSITIONS.name],
        )
        self._room = Partitions(self._dsn, worker=self._worker, channels=settings.channels)
        self._zone = ProductZone(
            self._dsn, zone=settings.product_zone, worker=self._worker, reader=settle_zone
        )
        self._calendar = Calendar(ZoneInfo(settings.product_zone))
        event_lane = EventLane(
            store=partial(PostgresStore, merges=KnownMerges()),
            identities=PostgresIdentities,
            room=self._room,
            funnels=LiveFunnels(
                stores=PostgresFunnelStore,
                logs=PostgresFunnelLog,
                day_of=self._calendar.day_of_microsecond,
            ),
            live_window=timedelta(seconds=settings.live_window_s),
            calendar=self._calendar,
            counts=settings.counters,
            metrics=self._metrics,
        )
        self._log_keeper = self._keeping()
        self._jobs = self._working()
        self._reconciler = self._recounting()
        suffix = settings.group.removeprefix("segmenter")
        gate = ZoneGate(event_lane, check=self._zone.ensure, doubt=self._zone.doubt)
        self._events = self._lanes(settings.group, topics.EVENTS.name, gate, log=self._log)
        self._letters = self._lanes(
            f"dead-letters{suffix}", topics.DEAD_LETTER.name, DeadLetterLane(), log=None
        )
        self._server = HttpServer(
            probes_app(live=self._live, ready=self._ready, metrics=self._metrics),
            host=settings.host,
            port=settings.port,
            service=SERVICE,
            metrics=self._metrics,
        )

    def parts(self) -> Parts:
        return Parts(
            [
                self._zone,
                self._server,
                self._room,
                self._log_keeper,
                self._log,
                self._events,
                self._letters,
                self._jobs,
                self._reconciler,
            ],
            live=self._live,
        )

    def _keeping(self) -> LogKeeper:
        settings = self._settings
        return LogKeeper(
            shelf=partial(event_log.opened, self._dsn, worker=self._worker),
            clock=clock_from(settings.clock_file),
            keep_for=KeptFor(_days(settings.event_log_days), _days(settings.jobs_days)),
            metrics=self._metrics,
        )

    def _working(self) -> JobRunner:
        return JobRunner(
            desks=partial(
                job_store.opened,
                self._dsn,
                worker=self._worker,
                zone=self._settings.product_zone,
            ),
            kinds=self._job_kinds(),
            clock=clock_from(self._settings.clock_file),
            metrics=self._metrics,
        )

    def _recounting(self) -> Reconciler:
        settings = self._settings
        return Reconciler(
            book=partial(recounting.opened, self._dsn, worker=self._worker),
            calendar=self._calendar,
            clock=clock_from(settings.clock_file),
            pace=Pace(settings.reconcile_every_s, settings.reconcile_users),
            metrics=self._metrics,
        )

    def _job_kinds(self) -> dict[str, JobKind[Connection]]:
        books = partial(PostgresPolicyBook, group=self._settings.group)
        apply = ApplyPolicy(
            stores=PostgresStore,
            books=books,
            room=self._room,
            group=self._settings.group,
            live_window=timedelta(seconds=self._settings.live_window_s),
            calendar=self._calendar,
            rate=self._settings.policy_users_per_s,
            metrics=self._metrics,
        )
        return {
            APPLY: apply,
            PREVIEW: PreviewPolicy(stores=PostgresStore, books=books),
            BACKFILL: BackfillFunnel(
                logs=PostgresFunnelLog,
                stores=PostgresFunnelStore,
                day_of=self._calendar.day_of_microsecond,
            ),
            DELETE: DeleteFunnel(remains=PostgresFunnelRemains),
        }

    def _lanes(self, group: str, topic: str, work: LaneWork, *, log: DurableLog | None) -> Lanes:
        return Lanes(
            group=group,
            worker=self._worker,
            topics=[topic],
            work=work,
            clock=clock_from(self._settings.clock_file),
            metrics=self._metrics,
            bootstrap=self._settings.kafka_bootstrap,
            dsn=self._dsn,
            log=log,
            ledger=self._settings.ledger,
        )

    def _live(self) -> Health:
        checks = {name: "ok" if health.live else health.reason for name, health in self._healths()}
        checks["log"] = self._log.ended() or "ok"
        checks["jobs"] = self._jobs.ended() or "ok"
        checks["log_keeper"] = self._log_keeper.ended() or "ok"
        checks["product_zone"] = self._zone.ended() or "ok"
        checks["reconciler"] = self._reconciler.ended() or "ok"
        return Health(all(each == "ok" for each in checks.values()), checks)

    def _ready(self) -> Health:
        checks = {name: "ok" if health.ready else health.reason for name, health in self._healths()}
        log = self._log.health()
        checks["log"] = "ok" if log.ready else log.reason
        return Health(all(each == "ok" for each in checks.values()), checks)

    def _healths(self) -> list[tuple[str, LanesHealth]]:
        return [("events", self._events.health()), ("dead_letters", self._letters.health())]


def _days(number: int) -> timedelta | None:
    return timedelta(days=number) if number else None
