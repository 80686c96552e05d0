"""What travels in the alerts topic: a change in the life of an alert."""

from datetime import datetime
from uuid import UUID

import msgspec

from shared.vocabulary import AlertKind, AlertState, Severity

ALERT_VERSION = 1


class AlertMessage(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """One alert as it now stands. Repeats are possible: drop them by (`alert_id`, `state`)."""

    # By a factory, because plain defaults are left out: every message says its version.
    v: int = msgspec.field(default_factory=lambda: ALERT_VERSION)
    alert_id: UUID
    kind: AlertKind
    state: AlertState
    severity: Severity
    user_id: str
    summary: str
    owner: str
    playbook: str
    fired_at: datetime
    resolved_at: datetime | None = None
    resolution: str | None = None
