"""Transitions for tests, from a few words each."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid5

from services.alerts.domain.alert import Change
from shared.vocabulary import (
    Lifecycle,
    TransitionKind,
    TransitionReason,
    TransitionStatus,
    UserId,
)

START = datetime(2026, 1, 1, tzinfo=UTC)
NOW = START + timedelta(days=365)
_IDS = UUID("00000000-0000-5000-8000-000000000000")


def day(number: float) -> datetime:
    return START + timedelta(days=number)


def transition_id(user: str, after: str, at: datetime) -> UUID:
    return uuid5(_IDS, f"{user}/{after}/{at.isoformat()}")


def change(after: Lifecycle, at: datetime, *, user: str = "u-1", **fields: Any) -> Change:
    """Return a written lifecycle transition of the user."""
    values: dict[str, Any] = {
        "transition_id": transition_id(user, after, at),
        "user_id": UserId(user),
        "kind": TransitionKind.LIFECYCLE,
        "before": Lifecycle.SILENT,
        "after": after,
        "at": at,
        "reason": TransitionReason.TIME_PASSED,
        "policy_version": 1,
        "status": TransitionStatus.WRITTEN,
        **fields,
    }
    return Change(**values)


def churned(at: datetime, *, user: str = "u-1", **fields: Any) -> Change:
    return change(
        Lifecycle.CHURNED,
        at,
        user=user,
        last_seen=at - timedelta(days=30),
        silent_for_s=30 * 86_400.0,
        **fields,
    )


def returned(at: datetime, *, user: str = "u-1", **fields: Any) -> Change:
    reason = TransitionReason.RETURNED_AFTER_CHURN
    return change(Lifecycle.RETURNED, at, user=user, reason=reason, **fields)


def retraction(of: Change) -> Change:
    return change(
        Lifecycle(of.after),
        of.at,
        user=of.user_id,
        transition_id=of.transition_id,
        status=TransitionStatus.RETRACTED,
        historical=of.historical,
    )
