"""Alerts and seen transitions in Postgres, on the lane's own connection and transaction."""

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from services.alerts.domain.alert import Alert, Change, Resolution
from services.alerts.domain.notice import Notice
from shared.database.connection import Connection, translated
from shared.vocabulary import AlertKind, AlertState, Severity, TransitionStatus, UserId

_REMEMBER = """
INSERT INTO seen_transitions (transition_id, status, user_id, kind, at, seen_at)
SELECT transition_id, status, user_id, kind, at, $6::timestamptz
FROM unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::timestamptz[])
     AS change (transition_id, status, user_id, kind, at)
ON CONFLICT DO NOTHING
RETURNING transition_id, status
"""

_RETRACTED = """
SELECT transition_id FROM seen_transitions
WHERE transition_id = ANY ($1::uuid[]) AND status = 'retracted'
"""

_LATEST = """
SELECT user_id, max(at) AS at FROM seen_transitions AS one
WHERE user_id = ANY ($1::text[]) AND kind = 'lifecycle' AND status = 'written'
  AND transition_id <> ALL ($2::uuid[])
  AND NOT EXISTS (
    SELECT FROM seen_transitions AS other
    WHERE other.transition_id = one.transition_id AND other.status = 'retracted')
GROUP BY user_id
"""

_ALERTS = """
SELECT alert_id, kind, state, severity, user_id, summary, evidence, owner, playbook, transition_id,
       fired_at, recorded_at, resolved_at, resolution
FROM alerts
WHERE (state = 'firing' AND kind = $3 AND user_id = ANY ($1::text[])) OR alert_id = ANY ($2::uuid[])
"""

# What people do to an alert stands in a table of its own, so only the machine's columns are here.
_SAVE = """
INSERT INTO alerts (alert_id, kind, state, severity, user_id, summary, evidence, owner, playbook,
                    transition_id, fired_at, recorded_at, resolved_at, resolution)
VALUES ($1, $2, $3, $4, $5, $6, $7::jsonb, $8, $9, $10, $11, $12, $13, $14)
ON CONFLICT (alert_id) DO UPDATE
SET state = excluded.state, resolved_at = excluded.resolved_at, resolution = excluded.resolution
WHERE alerts.state = 'firing'
"""

_INTEND = """
INSERT INTO notifications (alert_id, step, channel, body)
SELECT $1::uuid, $2::text, $3::text, $4::jsonb
WHERE $2::text = 'fired' OR EXISTS (
    SELECT FROM notifications
    WHERE alert_id = $1::uuid AND channel = $3::text AND step = 'fired'
      AND state IN ('pending', 'delivered'))
ON CONFLICT (alert_id, step, channel) DO NOTHING
"""

_FORGET = """
DELETE FROM seen_transitions
WHERE (transition_id, status) IN (
    SELECT transition_id, status FROM seen_transitions WHERE seen_at < $1 ORDER BY seen_at LIMIT $2)
"""


class AlertStore:
    """The book of alerts, within the transaction that `connection` is in."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def unseen(self, changes: Sequence[Change], *, now: datetime) -> list[Change]:
        columns = (
            [change.transition_id for change in changes],
            [change.status.value for change in changes],
            [change.user_id for change in changes],
            [change.kind.value for change in changes],
            [change.at for change in changes],
        )
        with translated():
            rows = await self._connection.fetch(_REMEMBER, *columns, now)
        new = {(row["transition_id"], TransitionStatus(row["status"])) for row in rows}
        return _first_of_each(changes, new)

    async def retracted(self, transitions: Sequence[UUID]) -> set[UUID]:
        with translated():
            rows = await self._connection.fetch(_RETRACTED, list(transitions))
        return {row["transition_id"] for row in rows}

    async def latest(
        self, users: Sequence[UserId], *, besides: Sequence[UUID]
    ) -> dict[UserId, datetime]:
        with translated():
            rows = await self._connection.fetch(_LATEST, list(users), list(besides))
        return {UserId(row["user_id"]): row["at"] for row in rows}

    async def alerts(self, *, firing_of: Sequence[UserId], ids: Sequence[UUID]) -> list[Alert]:
        with translated():
            rows = await self._connection.fetch(
                _ALERTS, list(firing_of), list(ids), AlertKind.USER_CHURNED.value
            )
        return [_alert(row) for row in rows]

    async def save(self, alerts: Sequence[Alert]) -> None:
        if alerts:
            with translated():
                await self._connection.executemany(_SAVE, [_values(alert) for alert in alerts])

    async def intend(self, notices: Sequence[Notice]) -> None:
        if not notices:
            return
        rows = [
            (one.alert_id, one.step.value, one.channel, json.dumps(one.body)) for one in notices
        ]
        with translated():
            await self._connection.executemany(_INTEND, rows)

    async def forget_seen(self, before: datetime, *, limit: int) -> int:
        with translated():
            status = await self._connection.execute(_FORGET, before, limit)
        return int(status.rpartition(" ")[2])


def _first_of_each(
    changes: Sequence[Change], new: set[tuple[UUID, TransitionStatus]]
) -> list[Change]:
    fresh = []
    for change in changes:
        key = (change.transition_id, change.status)
        if key in new:
            new.remove(key)
            fresh.append(change)
    return fresh


def _values(alert: Alert) -> tuple[object, ...]:
    return (
        alert.alert_id,
        alert.kind.value,
        alert.state.value,
        alert.severity.value,
        alert.user_id,
        alert.summary,
        json.dumps(dict(alert.evidence)),
        alert.owner,
        alert.playbook,
        alert.transition_id,
        alert.fired_at,
        alert.recorded_at,
        alert.resolved_at,
        None if alert.resolution is None else alert.resolution.value,
    )


def _alert(row: Any) -> Alert:
    return Alert(
        alert_id=row["alert_id"],
        kind=AlertKind(row["kind"]),
        state=AlertState(row["state"]),
        severity=Severity(row["severity"]),
        user_id=UserId(row["user_id"]),
        summary=row["summary"],
        evidence=json.loads(row["evidence"]),
        owner=row["owner"],
        playbook=row["playbook"],
        transition_id=row["transition_id"],
        fired_at=row["fired_at"],
        recorded_at=row["recorded_at"],
        resolved_at=row["resolved_at"],
        resolution=None if row["resolution"] is None else Resolution(row["resolution"]),
    )
