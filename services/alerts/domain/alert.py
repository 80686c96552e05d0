"""When a change in a user's life raises an alert, and when it ends one: pure decisions."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from uuid import UUID, uuid5

from shared.vocabulary import (
    AlertKind,
    AlertState,
    Lifecycle,
    Severity,
    TransitionKind,
    TransitionReason,
    TransitionStatus,
    UserId,
)

# An alert's id follows from what raised it, so that applying a record again can't raise it twice.
_ALERT_IDS = UUID("4d0d2a6e-6a53-5c43-9a0e-0a1f6f6f3a31")

SECONDS_PER_DAY = 86_400


class Resolution(StrEnum):
    """Why an alert ended."""

    USER_RETURNED = "user_returned"
    RETRACTED = "retracted"
    POLICY_CHANGED = "policy_changed"


@dataclass(frozen=True, slots=True)
class Rule:
    """What every alert of a kind has in common. `playbook` names a page of `playbooks/`."""

    severity: Severity
    owner: str
    playbook: str


RULES: Mapping[AlertKind, Rule] = {
    AlertKind.USER_CHURNED: Rule(Severity.WARNING, owner="retention", playbook="user_churned"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """A user's transition, or its retraction, as far as alerts care."""

    transition_id: UUID
    user_id: UserId
    kind: TransitionKind
    before: str | None
    after: str
    at: datetime
    reason: TransitionReason
    policy_version: int
    status: TransitionStatus
    historical: bool = False
    last_seen: datetime | None = None
    silent_for_s: float | None = None
    event_id: str | None = None

    @property
    def churned(self) -> bool:
        return self.kind is TransitionKind.LIFECYCLE and self.after == Lifecycle.CHURNED

    @property
    def written(self) -> bool:
        return self.status is TransitionStatus.WRITTEN


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert:
    """An explained warning about one user. `fired_at` is event time, `recorded_at` product time."""

    alert_id: UUID
    kind: AlertKind
    state: AlertState
    severity: Severity
    user_id: UserId
    summary: str
    evidence: Mapping[str, object]
    owner: str
    playbook: str
    transition_id: UUID
    fired_at: datetime
    recorded_at: datetime
    resolved_at: datetime | None = None
    resolution: Resolution | None = None

    @property
    def firing(self) -> bool:
        return self.state is AlertState.FIRING


@dataclass(frozen=True, slots=True)
class Verdict:
    """What one change comes to: an alert that ends, one that begins, both, or neither."""

    resolved: Alert | None = None
    raised: Alert | None = None
    too_old: bool = False


def judge(
    change: Change,
    *,
    firing: Alert | None,
    warned_of: bool,
    now: datetime,
    latest: datetime | None = None,
) -> Verdict:
    """Return what the change means for the user, whose alert `firing` is the one open now.

    `warned_of` says that this very churn has raised its alert before. `latest` is when their
    lifecycle changed last, as far as is known: a churn from before that is over already.
    """
    if not change.written:
        return Verdict(resolved=_taken_back(change, firing, now))
    resolved = _overtaken(change, firing)
    open_still = firing is not None and resolved is None
    over = latest is not None and change.at < latest
    if not change.churned or open_still or warned_of or over:
        return Verdict(resolved=resolved)
    if change.historical:
        return Verdict(resolved=resolved, too_old=True)
    return Verdict(resolved=resolved, raised=raise_alert(change, now=now))


def _taken_back(change: Change, firing: Alert | None, now: datetime) -> Alert | None:
    """The alert rested on a transition that a late event contradicted."""
    if firing is None or firing.transition_id != change.transition_id:
        return None
    return resolve(firing, at=now, resolution=Resolution.RETRACTED)


def _overtaken(change: Change, firing: Alert | None) -> Alert | None:
    """Whatever the lifecycle changed to after a churn, the user was active in between.

    That holds for a second churn too, and for news too old to raise an alert; not where a policy was
    activated that calls them something else.
    """
    if (
        firing is None
        or change.kind is not TransitionKind.LIFECYCLE
        or change.at <= firing.fired_at
    ):
        return None
    by_policy = change.reason is TransitionReason.POLICY_CHANGED
    resolution = Resolution.POLICY_CHANGED if by_policy else Resolution.USER_RETURNED
    return resolve(firing, at=change.at, resolution=resolution)


def raise_alert(change: Change, *, now: datetime) -> Alert:
    """Return the alert that a churn raises."""
    kind = AlertKind.USER_CHURNED
    rule = RULES[kind]
    return Alert(
        alert_id=alert_id_of(kind, change.transition_id),
        kind=kind,
        state=AlertState.FIRING,
        severity=rule.severity,
        user_id=change.user_id,
        summary=_summary(change),
        evidence=_evidence(change),
        owner=rule.owner,
        playbook=rule.playbook,
        transition_id=change.transition_id,
        fired_at=change.at,
        recorded_at=now,
    )


def resolve(alert: Alert, *, at: datetime, resolution: Resolution) -> Alert:
    """Return the alert, ended. It never ends before it began."""
    return replace(
        alert,
        state=AlertState.RESOLVED,
        resolved_at=max(at, alert.fired_at),
        resolution=resolution,
    )


def alert_id_of(kind: AlertKind, transition_id: UUID) -> UUID:
    return uuid5(_ALERT_IDS, f"{kind}/{transition_id}")


def _summary(change: Change) -> str:
    if change.silent_for_s is None or change.last_seen is None:
        return f"User {change.user_id} has churned."
    days = change.silent_for_s / SECONDS_PER_DAY
    return (
        f"User {change.user_id} has churned: no activity for {days:.0f} days, "
        f"last seen on {change.last_seen:%Y-%m-%d}."
    )


def _evidence(change: Change) -> Mapping[str, object]:
    fields: Mapping[str, object] = {
        "transition_id": str(change.transition_id),
        "before": change.before,
        "after": change.after,
        "at": change.at.isoformat(),
        "reason": change.reason.value,
        "policy_version": change.policy_version,
        "last_seen": None if change.last_seen is None else change.last_seen.isoformat(),
        "silent_for_s": change.silent_for_s,
        "event_id": change.event_id,
    }
    return {name: value for name, value in fields.items() if value is not None}
