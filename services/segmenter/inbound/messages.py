"""Transitions as messages of their topic."""

from collections.abc import Iterator
from datetime import datetime

from services.segmenter.domain.transition import Transition
from services.segmenter.usecases.write_history import CONTRADICTED, REPEALED, History
from shared.contracts import topics
from shared.contracts.codec import encode
from shared.contracts.transitions import Evidence, TransitionMessage
from shared.database.outbox import OutboxMessage
from shared.vocabulary import TransitionStatus


def messages_of(history: History, *, at: datetime) -> Iterator[OutboxMessage]:
    """Yield what readers of the topic get, in the order in which they should."""
    retracted, written = TransitionStatus.RETRACTED, TransitionStatus.WRITTEN
    yield from (message_of(each, retracted, at=at, because=REPEALED) for each in history.repealed)
    yield from (message_of(each, retracted, at=at) for each in history.retracted)
    yield from (message_of(each, written, at=at) for each in history.written)


def message_of(
    transition: Transition, status: TransitionStatus, *, at: datetime, because: str = CONTRADICTED
) -> OutboxMessage:
    """Return what readers of the topic get of one transition; `at` is product time."""
    evidence = transition.evidence
    message = TransitionMessage(
        transition_id=transition.transition_id,
        user_id=transition.user_id,
        kind=transition.kind,
        before=transition.before,
        after=transition.after,
        at=transition.at,
        recorded_at=transition.recorded_at,
        reason=transition.reason,
        policy_version=transition.policy_version,
        evidence=Evidence(
            source=evidence.source,
            event_id=evidence.event_id,
            last_seen=evidence.last_seen,
            silent_for_s=evidence.silent_for_s,
            since=evidence.since,
        ),
        historical=transition.historical,
        status=status,
        retracted_because=because if status is TransitionStatus.RETRACTED else None,
    )
    return OutboxMessage(topics.TRANSITIONS.name, transition.user_id.encode(), encode(message), at)
