"""What people are told about an alert: one notice when it fires, one when it is resolved."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from uuid import UUID, uuid5

from services.alerts.domain.alert import Alert

NOTICE_VERSION = 1


class Step(StrEnum):
    """Which notice of an alert; `fired` is always sent before `resolved`."""

    FIRED = "fired"
    RESOLVED = "resolved"


@dataclass(frozen=True, slots=True)
class Notice:
    """The intent to tell a channel's target something. Unique by alert, step and channel."""

    alert_id: UUID
    step: Step
    channel: str
    body: Mapping[str, object]


def notice(alert: Alert, step: Step, channel: str) -> Notice:
    return Notice(alert.alert_id, step, channel, _body(alert, step))


def delivery_id_of(alert_id: UUID, step: str, channel: str) -> UUID:
    """Return the id that every attempt of one notice carries: targets drop repeats by it."""
    return uuid5(alert_id, f"{step}/{channel}")


def _body(alert: Alert, step: Step) -> Mapping[str, object]:
    fields: Mapping[str, object] = {
        "alert_id": str(alert.alert_id),
        "kind": alert.kind.value,
        "state": alert.state.value,
        "severity": alert.severity.value,
        "user_id": alert.user_id,
        "summary": alert.summary,
        "owner": alert.owner,
        "playbook": alert.playbook,
        "evidence": dict(alert.evidence),
        "fired_at": _text(alert.fired_at),
        "resolved_at": _text(alert.resolved_at),
        "resolution": alert.resolution,
    }
    told = {name: value for name, value in fields.items() if value is not None}
    return {"v": NOTICE_VERSION, "type": f"alert.{step}", "alert": told}


def _text(instant: datetime | None) -> str | None:
    return None if instant is None else instant.isoformat().replace("+00:00", "Z")
