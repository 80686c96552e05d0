"""Transitions: the steps of a history as facts with an id, a reason and what they rest on."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from hashlib import sha1
from uuid import UUID

import msgspec

from services.segmenter.domain.lifecycle import Step
from shared.vocabulary import Lifecycle, TransitionKind, TransitionReason

NAMESPACE = UUID("6b1f3a52-6f0e-5c53-9d0c-1f2a8f5f2f9e")
_NAMED = sha1(NAMESPACE.bytes, usedforsecurity=False)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
# Looked up once: a member of an enum costs as much as a whole struct.
_LIFECYCLE = TransitionKind.LIFECYCLE
_POLICY_CHANGED = TransitionReason.POLICY_CHANGED


class Cause(msgspec.Struct, frozen=True, gc=False):
    """The event behind a step, where one is. `historical`: it says so itself, or came too late."""

    source: str
    event_id: str
    historical: bool


class Evidence(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """What a transition rests on."""

    source: str | None = None
    event_id: str | None = None
    last_seen: datetime | None = None
    silent_for_s: float | None = None
    since: datetime | None = None


class Transition(msgspec.Struct, frozen=True, gc=False):
    """One change of a user's value: `at` is when it became true, `recorded_at` when it was noticed."""

    transition_id: UUID
    user_id: str
    kind: TransitionKind
    before: Lifecycle | None
    after: Lifecycle
    at: datetime
    recorded_at: datetime
    reason: TransitionReason
    policy_version: int
    historical: bool
    evidence: Evidence


class Setting(msgspec.Struct, frozen=True, gc=False):
    """What every transition of one user in one batch has in common."""

    user_id: str
    revision: int
    recorded_at: datetime
    live_since: datetime  # what is dated earlier is history, and never warns anybody


def difference(
    old: Sequence[Step], new: Sequence[Step]
) -> tuple[tuple[Step, ...], tuple[Step, ...]]:
    """Return the steps that no longer hold, and those that hold from now on, each in order."""
    old_keys, new_keys = {step.key for step in old}, {step.key for step in new}
    retracted = tuple(step for step in old if step.key not in new_keys)
    written = tuple(step for step in new if step.key not in old_keys)
    return retracted, written


def transition(step: Step, setting: Setting, cause: Cause | None) -> Transition:
    """Return the step as a transition; `cause` is None where time alone was the reason."""
    return Transition(
        transition_id(step, setting),
        setting.user_id,
        _LIFECYCLE,
        step.before,
        step.after,
        step.at,
        setting.recorded_at,
        step.reason,
        step.policy_version,
        _is_history(step, setting, cause),
        _evidence(step, cause),
    )


def _is_history(step: Step, setting: Setting, cause: Cause | None) -> bool:
    """Say whether the step is no news. That a policy calls users something else never is: nothing happened."""
    if step.reason is _POLICY_CHANGED:
        return True
    return step.at < setting.live_since if cause is None else cause.historical


def transition_id(step: Step, setting: Setting) -> UUID:
    """Return the same id whenever the same change is written again after a crash.

    The revision sets a step that is written once more, after it was retracted, apart from itself.
    """
    microseconds = (step.at - _EPOCH) // _MICROSECOND
    before = "" if step.before is None else step.before._value_
    return _named(
        f"{_LIFECYCLE._value_}|{before}|{step.after._value_}|{microseconds}"
        f"|{step.policy_version}|{setting.revision}|{setting.user_id}"
    )


def _named(name: str) -> UUID:
    """Return `uuid5(NAMESPACE, name)` for a quarter of its price."""
    named = _NAMED.copy()
    named.update(name.encode())
    digest = bytearray(named.digest()[:16])
    digest[6] = digest[6] & 0x0F | 0x50  # version 5
    digest[8] = digest[8] & 0x3F | 0x80  # variant of RFC 4122
    return msgspec.convert(bytes(digest), UUID)


def _evidence(step: Step, cause: Cause | None) -> Evidence:
    quiet_since = step.quiet_since
    return Evidence(
        None if cause is None else cause.source,
        None if cause is None else cause.event_id,
        quiet_since,
        None if quiet_since is None else (step.at - quiet_since).total_seconds(),
        step.period_start,
    )
