"""What travels in the transitions topic: a user's change from one value to another, explained."""

from datetime import datetime
from uuid import UUID

import msgspec

from shared.vocabulary import TransitionKind, TransitionReason, TransitionStatus

TRANSITION_VERSION = 1


class Evidence(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """What a transition rests on: the event that caused it, or the time that passed.

    `last_seen` and `silent_for_s` tell of the silence that began or ended; `since` is where the
    period began that ran out (being new, having returned).
    """

    source: str | None = None
    event_id: str | None = None
    last_seen: datetime | None = None
    silent_for_s: float | None = None
    since: datetime | None = None


class TransitionMessage(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """One transition, or its retraction: the same `transition_id` with `status` retracted.

    `at` is when it became true (event time); `recorded_at` when it was noticed (product time).
    `before` is None for a user's first transition. `historical` ones never fire a live alert.
    Repeats are possible: drop them by (`transition_id`, `status`).
    """

    # By a factory, because plain defaults are left out: every message says its version.
    v: int = msgspec.field(default_factory=lambda: TRANSITION_VERSION)
    transition_id: UUID
    user_id: str
    kind: TransitionKind
    before: str | None
    after: str
    at: datetime
    recorded_at: datetime
    reason: TransitionReason
    policy_version: int
    evidence: Evidence = Evidence()
    historical: bool = False
    status: TransitionStatus = TransitionStatus.WRITTEN
    retracted_because: str | None = None
