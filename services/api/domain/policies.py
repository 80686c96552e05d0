"""Policies and jobs as they are shown, and when a policy may be activated: pure decisions."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any
from uuid import UUID

from shared.errors import PermanentError
from shared.thresholds import Thresholds

_INSTANT = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class PolicyView:
    version: int
    thresholds: Thresholds
    note: str
    created_by: str
    created_at: datetime
    activated_at: datetime | None
    activated_by: str | None
    activated_note: str | None


class JobState(StrEnum):
    """How far a job is; what has ended never begins again."""

    WAITING = "waiting"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True)
class JobView:
    job_id: UUID
    kind: str
    state: JobState
    argument: Mapping[str, Any]
    progress_done: int
    progress_total: int | None
    result: Mapping[str, Any] | None
    error: str | None
    requested_by: str
    created_at: datetime
    updated_at: datetime


class UnknownPolicy(PermanentError):
    """There is no policy of that version."""


class PolicyUnchanged(PermanentError):
    """The thresholds are those of the active policy."""


class AlreadyActivated(PermanentError):
    """The policy was activated before, for good."""


class NeverActivated(PermanentError):
    """The policy is a draft, so there is nothing to go back to."""


class PolicyOutdated(PermanentError):
    """A later version was activated since the policy was drafted."""


class BadInstant(PermanentError):
    """The policy can't hold from that instant on."""


def active_of(policies: Collection[PolicyView]) -> PolicyView:
    """Return the policy that was activated last; there always is one."""
    return max(
        (each for each in policies if each.activated_at is not None),
        key=lambda policy: policy.version,
    )


def check_draft(thresholds: Thresholds, active: PolicyView) -> None:
    """Raise PolicyUnchanged where the draft would change nothing."""
    if thresholds == active.thresholds:
        raise PolicyUnchanged(f"these are the thresholds of the active version {active.version}")


def check_candidate(policy: PolicyView, active: PolicyView) -> None:
    """Say why a policy can't follow the active one. Raises AlreadyActivated, PolicyOutdated, PolicyUnchanged."""
    if policy.activated_at is not None:
        raise AlreadyActivated(
            f"version {policy.version} was activated already; roll back to it, or draft another"
        )
    if policy.version < active.version:
        raise PolicyOutdated(
            f"version {active.version} was activated after version {policy.version} was drafted;"
            " draft it again"
        )
    check_draft(policy.thresholds, active)


def soonest(now: datetime, active: PolicyView, *, first: int) -> datetime:
    """Return when a policy can hold from: now, or right after the active one began, should clocks differ."""
    if active.version == first or active.activated_at is None:
        return now
    return max(now, active.activated_at + _INSTANT)


def check_instant(at: datetime, active: PolicyView, *, first: int) -> None:
    """Raise BadInstant where the active policy began no earlier. The first one always held."""
    if soonest(at, active, first=first) != at and active.activated_at is not None:
        raise BadInstant(
            f"must lie after the active policy's activation at {active.activated_at.isoformat()}"
        )
