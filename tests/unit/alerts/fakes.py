"""In-memory stores and a scripted channel; the stores pass the same suite as those in Postgres."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from uuid import UUID

from services.alerts.domain.alert import Alert, Change
from services.alerts.domain.delivery import Answer, Result
from services.alerts.domain.notice import Notice, Step, delivery_id_of
from services.alerts.usecases.ports import Claimed
from shared.vocabulary import TransitionKind, TransitionStatus, UserId


@dataclass(slots=True)
class Row:
    """One intent to notify. Times are seconds of the fake database's clock."""

    notification_id: int
    notice: Notice
    created_at: float
    next_attempt_at: float
    state: str = "pending"
    attempts: int = 0
    leased_until: float | None = None
    last_result: str | None = None


@dataclass(slots=True)
class FakeDatabase:
    """What both fake stores share, with a clock that tests move."""

    clock_s: float = 0.0
    seen: dict[tuple[UUID, TransitionStatus], tuple[datetime, Change]] = field(default_factory=dict)
    alerts: dict[UUID, Alert] = field(default_factory=dict)
    rows: list[Row] = field(default_factory=list)

    def find(self, alert_id: UUID, step: str, channel: str) -> Row | None:
        wanted = (alert_id, step, channel)
        return next(
            (
                row
                for row in self.rows
                if (row.notice.alert_id, row.notice.step, row.notice.channel) == wanted
            ),
            None,
        )


class FakeAlertBook:
    def __init__(self, database: FakeDatabase) -> None:
        self._database = database

    async def unseen(self, changes: Sequence[Change], *, now: datetime) -> list[Change]:
        fresh = []
        for change in changes:
            key = (change.transition_id, change.status)
            if key not in self._database.seen:
                self._database.seen[key] = now, change
                fresh.append(change)
        return fresh

    async def retracted(self, transitions: Sequence[UUID]) -> set[UUID]:
        seen = self._database.seen
        return {one for one in transitions if (one, TransitionStatus.RETRACTED) in seen}

    async def latest(
        self, users: Sequence[UserId], *, besides: Sequence[UUID]
    ) -> dict[UserId, datetime]:
        found: dict[UserId, datetime] = {}
        gone = {one for one, status in self._database.seen if status is TransitionStatus.RETRACTED}
        for _, one in self._database.seen.values():
            counts = one.kind is TransitionKind.LIFECYCLE and one.user_id in users
            if counts and one.transition_id not in {*gone, *besides}:
                found[one.user_id] = max(found.get(one.user_id, one.at), one.at)
        return found

    async def alerts(self, *, firing_of: Sequence[UserId], ids: Sequence[UUID]) -> list[Alert]:
        return [
            alert
            for alert in self._database.alerts.values()
            if (alert.firing and alert.user_id in firing_of) or alert.alert_id in ids
        ]

    async def save(self, alerts: Sequence[Alert]) -> None:
        for alert in alerts:
            known = self._database.alerts.get(alert.alert_id)
            if known is None:
                self._database.alerts[alert.alert_id] = alert
            elif known.firing:
                self._database.alerts[alert.alert_id] = replace(
                    known,
                    state=alert.state,
                    resolved_at=alert.resolved_at,
                    resolution=alert.resolution,
                )

    async def intend(self, notices: Sequence[Notice]) -> None:
        for one in notices:
            fired = self._database.find(one.alert_id, Step.FIRED, one.channel)
            told = fired is not None and fired.state != "given_up"
            new = self._database.find(one.alert_id, one.step, one.channel) is None
            if new and (one.step is Step.FIRED or told):
                self._database.rows.append(self._row(one))

    async def forget_seen(self, before: datetime, *, limit: int) -> int:
        old = [key for key, (seen_at, _) in self._database.seen.items() if seen_at < before][:limit]
        for key in old:
            del self._database.seen[key]
        return len(old)

    def _row(self, one: Notice) -> Row:
        now = self._database.clock_s
        return Row(len(self._database.rows) + 1, one, created_at=now, next_attempt_at=now)


class FakeNotifications:
    def __init__(self, database: FakeDatabase) -> None:
        self._database = database

    async def claim(self, channel: str, *, limit: int, lease_s: float) -> list[Claimed]:
        due = [row for row in self._database.rows if row.notice.channel == channel]
        due = sorted(filter(self._is_due, due), key=lambda row: row.next_attempt_at)[:limit]
        for row in due:
            row.attempts += 1
            row.leased_until = self._database.clock_s + lease_s
        return [self._claimed(row) for row in due]

    async def delivered(self, claimed: Claimed, *, detail: str) -> None:
        row = self._row(claimed)
        row.state, row.leased_until, row.last_result = "delivered", None, detail

    async def try_again(self, claimed: Claimed, *, wait_s: float, detail: str) -> None:
        row = self._row(claimed)
        if row.state == "pending" and row.attempts == claimed.attempt:
            row.next_attempt_at = self._database.clock_s + wait_s
            row.leased_until, row.last_result = None, detail

    async def given_up(self, claimed: Claimed, *, detail: str) -> None:
        row = self._row(claimed)
        if row.state == "pending" and row.attempts == claimed.attempt:
            row.state, row.leased_until, row.last_result = "given_up", None, detail

    async def pending(self) -> Mapping[str, int]:
        waiting: dict[str, int] = {}
        for row in self._database.rows:
            if row.state == "pending":
                waiting[row.notice.channel] = waiting.get(row.notice.channel, 0) + 1
        return waiting

    def _row(self, claimed: Claimed) -> Row:
        return self._database.rows[claimed.notification_id - 1]

    def _fired(self, row: Row) -> Row | None:
        return self._database.find(row.notice.alert_id, Step.FIRED, row.notice.channel)

    def _is_due(self, row: Row) -> bool:
        now = self._database.clock_s
        if row.state != "pending" or row.next_attempt_at > now:
            return False
        if row.leased_until is not None and row.leased_until > now:
            return False
        fired = self._fired(row)
        return row.notice.step is Step.FIRED or fired is None or fired.state != "pending"

    def _claimed(self, row: Row) -> Claimed:
        fired = self._fired(row)
        return Claimed(
            notification_id=row.notification_id,
            delivery_id=delivery_id_of(row.notice.alert_id, row.notice.step, row.notice.channel),
            body=json.dumps(row.notice.body).encode(),
            attempt=row.attempts,
            age_s=self._database.clock_s - row.created_at,
            abandoned=row.notice.step is not Step.FIRED
            and fired is not None
            and fired.state == "given_up",
        )


class ScriptedChannel:
    """Answers as told, one answer a send, then delivers; remembers what it was sent."""

    name = "webhook"

    def __init__(self, *answers: Answer) -> None:
        self._answers = list(answers)
        self.sent: list[tuple[UUID, bytes]] = []

    async def send(self, body: bytes, *, delivery_id: UUID) -> Answer:
        self.sent.append((delivery_id, body))
        return self._answers.pop(0) if self._answers else Answer(Result.DELIVERED, "http 200")
