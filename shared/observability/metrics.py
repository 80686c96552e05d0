"""Every metric of the system: name, type, labels, unit and meaning, in this one place.

A metric is asked for by its member, so a typo is a type error. Labels are closed sets or bounded
by configuration (topic, partition), never user ids.
"""

from dataclasses import dataclass
from enum import StrEnum

from prometheus_client import REGISTRY, CollectorRegistry, Counter, Gauge, Histogram

FAST_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
DELAY_SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 15, 60, 300, 3600)
SIZES = (1, 10, 50, 100, 250, 500, 1000, 2500, 4000, 8000)


class Kind(StrEnum):
    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric. The unit is the end of the name (`_seconds`, `_bytes`, `_total` of things)."""

    name: str
    kind: Kind
    meaning: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = FAST_SECONDS


def _counter(name: str, meaning: str, *labels: str) -> Metric:
    return Metric(f"ebbtide_{name}", Kind.COUNTER, meaning, labels)


def _gauge(name: str, meaning: str, *labels: str) -> Metric:
    return Metric(f"ebbtide_{name}", Kind.GAUGE, meaning, labels)


def _histogram(name: str, meaning: str, *labels: str, buckets: tuple[float, ...]) -> Metric:
    return Metric(f"ebbtide_{name}", Kind.HISTOGRAM, meaning, labels, buckets)


# Every HTTP server
HTTP_REQUESTS = _counter(
    "http_requests_total", "Requests answered", "service", "route", "method", "status"
)
HTTP_SECONDS = _histogram(
    "http_request_seconds", "Time to answer a request", "service", "route", buckets=FAST_SECONDS
)
HTTP_GUARD_CLOSED = _counter(
    "http_guard_closed_total", "Connections closed by the guard (slow or oversized)", "why"
)

# ingest
INGEST_EVENTS = _counter(
    "ingest_events_total", "Events judged, by what became of them", "route", "outcome"
)
INGEST_REFUSED = _counter("ingest_refused_total", "Events and bodies refused, by reason", "code")
INGEST_DEAD_LETTERS_LOST = _counter(
    "ingest_dead_letters_lost_total", "Refused inputs that could not be kept: Kafka was away"
)

# The write path into Kafka
LOG_RECORDS = _counter("log_records_total", "Records settled, by outcome", "topic", "outcome")
LOG_BATCHES = _counter("log_batches_total", "Batches sent to the broker", "topic", "outcome")
LOG_BATCH_SECONDS = _histogram(
    "log_batch_seconds", "Time from handing a batch over to its ack", "topic", buckets=FAST_SECONDS
)
LOG_IN_FLIGHT_BYTES = _gauge("log_in_flight_bytes", "Bytes accepted and not yet settled")
LOG_OLDEST_UNSETTLED_SECONDS = _gauge(
    "log_oldest_unsettled_seconds", "Age of the oldest batch not yet settled"
)
LOG_PRODUCERS_REPLACED = _counter(
    "log_producers_replaced_total", "Producers thrown away because their sender ended or hung"
)

# Lanes: one log, one writer, exactly once
LANE_RECORDS = _counter("lane_records_total", "Records folded", "group", "topic")
LANE_BATCHES = _counter("lane_batches_total", "Transactions committed", "group", "topic")
LANE_BATCH_RECORDS = _histogram(
    "lane_batch_records", "Records of one transaction", "group", "topic", buckets=SIZES
)
LANE_BATCH_SECONDS = _histogram(
    "lane_batch_seconds", "Time of one transaction", "group", "topic", buckets=FAST_SECONDS
)
LANE_LAG_RECORDS = _gauge(
    "lane_lag_records", "Records in the log that are not folded yet", "group", "topic", "partition"
)
LANE_WATERMARK_AGE_SECONDS = _gauge(
    "lane_watermark_age_seconds",
    "Product time now, less the instant up to which all that was received is folded",
    "group",
    "topic",
    "partition",
)
LANE_OWNED = _gauge("lane_owned_partitions", "Partitions that this process folds", "group")
LANE_FENCED = _counter(
    "lane_fenced_total", "Lanes ended because another owner holds a higher epoch", "group"
)
LANE_REWOUND = _counter(
    "lane_rewound_total", "Times the stored offset differed from the lane's position", "group"
)
LANE_RESTARTS = _counter("lane_restarts_total", "Lanes started anew after an error", "group", "why")
LANE_OFFSET_GAPS = _counter(
    "lane_offset_gaps_total",
    "Offsets skipped by the log (transaction markers, compaction)",
    "group",
)
LANE_RECORDS_LOST = _counter(
    "lane_records_lost_total", "Records that retention removed before they were folded", "group"
)
LANE_FROZEN = _gauge(
    "lane_frozen_partitions", "Partitions stopped until an operator resets them", "group"
)
LANE_STUCK = _counter("lane_stuck_total", "Lanes that the watchdog found without progress", "group")
KEEPER_BEATS = _counter(
    "keeper_beats_total", "Beats of the lease keeper, by outcome", "group", "outcome"
)
DEAD_LETTERS = _counter(
    "dead_letters_total", "Inputs put among the dead letters, but rejected claims", "origin", "code"
)
OUTBOX_SENT = _counter("outbox_sent_total", "Outbox messages acknowledged by Kafka", "topic")
OUTBOX_OLDEST_SECONDS = _gauge(
    "outbox_oldest_seconds", "Age of the oldest outbox message not yet sent", "group"
)

# segmenter
FOLD_EVENTS = _counter("fold_events_total", "Events by what the fold made of them", "outcome")
FOLD_DELAY_SECONDS = _histogram(
    "fold_delay_seconds",
    "Product time from receipt to fold, of the oldest event of each batch",
    buckets=DELAY_SECONDS,
)
TRANSITIONS = _counter("transitions_total", "Transitions written", "kind", "after", "reason")
TRANSITIONS_RETRACTED = _counter(
    "transitions_retracted_total", "Transitions that a late event contradicted", "kind"
)
MERGES = _counter("merges_total", "Ids that became another user's, or a user of their own again")
CLAIMS_REJECTED = _counter(
    "claims_rejected_total",
    "Claims of identify and alias that do not hold: each is a dead letter, too",
    "fault",
)
SWEEP_USERS = _counter("sweep_users_total", "Users changed because time passed")
SWEEP_BEHIND_SECONDS = _gauge(
    "sweep_behind_seconds",
    "How long the latest of the deadlines that a sweep reached was due; 0 where none is left",
    "partition",
)
SWEEP_DELAY_SECONDS = _histogram(
    "sweep_delay_seconds",
    "Product time from a deadline to its transition, of the oldest one of each batch",
    buckets=DELAY_SECONDS,
)
EVENT_LOG_DROPPED = _counter(
    "event_log_dropped_partitions_total", "Days dropped from the event log because of their age"
)
EVENT_LOG_PUT_OFF = _counter(
    "event_log_put_off_total", "Times a day was left for later because the lanes were busy"
)
EVENT_LOG_REACH_SECONDS = _gauge(
    "event_log_reach_seconds",
    "Product time now, less the beginning of the oldest day in the event log",
)
RECONCILED = _counter(
    "reconciled_total",
    "Users and cells recounted from the event log, by whether what is stored is the same",
    "what",
    "outcome",
)
JOB_STEPS = _counter(
    "job_steps_total", "Transactions of background jobs, by what became of them", "kind", "outcome"
)
JOB_STEP_SECONDS = _histogram(
    "job_step_seconds", "Time of one transaction of a job", "kind", buckets=FAST_SECONDS
)
JOBS_FORGOTTEN = _counter("jobs_forgotten_total", "Background jobs deleted long after they ended")
JOB_WORK = _counter("job_work_total", "What background jobs did, in the kind's own unit", "kind")

# alerts
ALERTS_FIRED = _counter("alerts_fired_total", "Alerts raised", "kind")
ALERTS_RESOLVED = _counter("alerts_resolved_total", "Alerts resolved", "kind", "resolution")
ALERTS_HISTORICAL = _counter(
    "alerts_historical_total", "Transitions that were too old to raise a live alert", "kind"
)
NOTIFICATIONS = _counter("notifications_total", "Delivery attempts, by result", "channel", "result")
NOTIFICATIONS_PENDING = _gauge(
    "notifications_pending", "Notifications not yet delivered", "channel"
)

# api
API_LAG_SECONDS = _gauge("api_lag_seconds", "Age of the numbers that the api serves")

ALL: tuple[Metric, ...] = tuple(
    value for value in dict(globals()).values() if isinstance(value, Metric)
)


class Metrics:
    """The metrics of one process. Made once, in `wiring`, and passed to whoever counts."""

    def __init__(self, registry: CollectorRegistry = REGISTRY) -> None:
        self.registry = registry
        self._collectors: dict[str, Counter | Gauge | Histogram] = {}

    def count(self, metric: Metric, *labels: str, by: float = 1) -> None:
        """Add to a counter."""
        collector = self._collector(metric)
        assert isinstance(collector, Counter)  # noqa: S101  narrows the type; the registry decides
        (collector.labels(*labels) if labels else collector).inc(by)

    def set(self, metric: Metric, value: float, *labels: str) -> None:
        """Set a gauge."""
        collector = self._collector(metric)
        assert isinstance(collector, Gauge)  # noqa: S101
        (collector.labels(*labels) if labels else collector).set(value)

    def observe(self, metric: Metric, value: float, *labels: str) -> None:
        """Add an observation to a histogram."""
        collector = self._collector(metric)
        assert isinstance(collector, Histogram)  # noqa: S101
        (collector.labels(*labels) if labels else collector).observe(value)

    def forget(self, metric: Metric, *labels: str) -> None:
        """Drop one labelled series, as of a partition that went to another process."""
        collector = self._collectors.get(metric.name)
        if collector is not None:
            collector.remove(*labels)

    def _collector(self, metric: Metric) -> Counter | Gauge | Histogram:
        known = self._collectors.get(metric.name)
        if known is None:
            known = self._collectors[metric.name] = _make(metric, self.registry)
        return known


def _make(metric: Metric, registry: CollectorRegistry) -> Counter | Gauge | Histogram:
    if metric.kind is Kind.COUNTER:
        return Counter(metric.name, metric.meaning, metric.labels, registry=registry)
    if metric.kind is Kind.GAUGE:
        return Gauge(metric.name, metric.meaning, metric.labels, registry=registry)
    return Histogram(
        metric.name, metric.meaning, metric.labels, buckets=metric.buckets, registry=registry
    )
