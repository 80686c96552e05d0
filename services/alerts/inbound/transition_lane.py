"""One batch of the transitions topic → alerts, inside the lane's fenced transaction."""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Final

import msgspec

from services.alerts.domain.alert import Alert, Change
from services.alerts.usecases.ports import AlertBook
from services.alerts.usecases.warn_of_churn import Warned, forget_old, warn_of_churn
from shared.contracts import topics
from shared.contracts.alerts import AlertMessage
from shared.contracts.codec import decode_transition, encode, why_undecodable
from shared.contracts.transitions import TransitionMessage
from shared.database.connection import Connection
from shared.database.outbox import OutboxMessage
from shared.kafka.records import Record
from shared.lanes.work import Applied, Batch, Refused
from shared.observability import metrics
from shared.observability.metrics import Metrics
from shared.vocabulary import AlertKind, TransitionKind, UserId

# Longer than the log keeps a transition: no repeat can come after that.
SEEN_FOR = timedelta(milliseconds=2 * (topics.TRANSITIONS.retention_ms or 0))


class _AnyTransition(msgspec.Struct):
    kind: str


_decode_kind: Final = msgspec.json.Decoder(_AnyTransition).decode


class TransitionLane:
    """The alerts service's work on the transitions topic; keeps `LaneWork`."""

    def __init__(
        self,
        *,
        book: Callable[[Connection], AlertBook],
        channels: Sequence[str],
        metrics: Metrics,
        alerted: Callable[[], None],
    ) -> None:
        self._book = book
        self._channels = channels
        self._metrics = metrics
        self._alerted = alerted

    async def prepare(self, batch: Batch) -> None:
        """Nothing to make room for: the tables of alerts are not partitioned."""

    async def apply(self, connection: Connection, batch: Batch) -> Applied:
        book = self._book(connection)
        changes, refused = read(batch.records)
        warned = await warn_of_churn(changes, book=book, channels=self._channels, now=batch.now)
        if batch.part == 0:  # one lane tidies up for all
            await forget_old(book, now=batch.now, seen_for=SEEN_FOR)
        return Applied(
            refused=refused,
            messages=[_message(alert, at=batch.now) for alert in warned.changed],
            after_commit=[partial(self._tell, warned)] if warned.changed or warned.too_old else (),
        )

    def _tell(self, warned: Warned) -> None:
        for alert in warned.changed:
            if alert.resolution is None:
                self._metrics.count(metrics.ALERTS_FIRED, alert.kind)
            else:
                self._metrics.count(metrics.ALERTS_RESOLVED, alert.kind, alert.resolution)
        for _ in warned.too_old:
            self._metrics.count(metrics.ALERTS_HISTORICAL, AlertKind.USER_CHURNED)
        if warned.changed:
            self._alerted()


def read(records: Sequence[Record]) -> tuple[list[Change], list[Refused]]:
    """Return the changes in the records, and the records that are no transition."""
    changes: list[Change] = []
    refused: list[Refused] = []
    for record in records:
        message = why_undecodable(decode_transition, record.value)
        if isinstance(message, TransitionMessage):
            problem = _why_unusable(message)
            if problem is None:
                changes.append(_change(message))
            else:
                refused.append(Refused(record, "invalid_transition", *problem))
        elif not _of_later_version(record.value):
            refused.append(Refused(record, "invalid_transition", None, message))
    return changes, refused


def _why_unusable(message: TransitionMessage) -> tuple[str, str] | None:
    """Return the field that can't be worked with, and why."""
    if not message.user_id:
        return "user_id", "is empty"
    for name, instant in (("at", message.at), ("evidence.last_seen", message.evidence.last_seen)):
        if isinstance(instant, datetime) and instant.tzinfo is None:
            return name, "has no time zone"
    return None


def _of_later_version(value: bytes) -> bool:
    """A kind of transition that a newer segmenter writes is none of ours, and no mistake."""
    try:
        kind = _decode_kind(value).kind
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        return False
    return kind not in set(TransitionKind)


def _change(message: TransitionMessage) -> Change:
    return Change(
        transition_id=message.transition_id,
        user_id=UserId(message.user_id),
        kind=message.kind,
        before=message.before,
        after=message.after,
        at=message.at,
        reason=message.reason,
        policy_version=message.policy_version,
        status=message.status,
        historical=message.historical,
        last_seen=message.evidence.last_seen,
        silent_for_s=message.evidence.silent_for_s,
        event_id=message.evidence.event_id,
    )


def _message(alert: Alert, *, at: datetime) -> OutboxMessage:
    message = AlertMessage(
        alert_id=alert.alert_id,
        kind=alert.kind,
        state=alert.state,
        severity=alert.severity,
        user_id=alert.user_id,
        summary=alert.summary,
        owner=alert.owner,
        playbook=alert.playbook,
        fired_at=alert.fired_at,
        resolved_at=alert.resolved_at,
        resolution=alert.resolution,
    )
    return OutboxMessage(topics.ALERTS.name, str(alert.alert_id).encode(), encode(message), at)
