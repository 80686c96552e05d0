"""Puts events, feedback and refusals into their topics, and waits for the acknowledgements."""

import hashlib
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import msgspec

from services.ingest.usecases.ports import Incoming, Kept, Rejected
from shared.contracts import topics
from shared.contracts.codec import encode
from shared.contracts.dead_letters import DeadLetter
from shared.contracts.events import EventEnvelope, EventFlag
from shared.contracts.feedback import Feedback
from shared.kafka.dead_letter_log import dead_letter_record
from shared.kafka.log import Log, LogRecord, Outcome
from shared.observability import metrics as m
from shared.observability.metrics import Metrics

# More of a refused body is not kept.
LARGEST_DEAD_LETTER = 1024 * 1024
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)


class KafkaEventTopic:
    """Keeps the port `EventTopic` on a log."""

    def __init__(self, log: Log, *, metrics: Metrics) -> None:
        self._log = log
        self._metrics = metrics

    async def keep(
        self,
        incoming: Sequence[Incoming],
        rejected: Sequence[Rejected],
        *,
        source: str,
        received_at: datetime,
    ) -> tuple[list[Kept], list[Kept]]:
        at_ms = (received_at - _EPOCH) // _MILLISECOND
        events = [_event_record(each, source, received_at, at_ms) for each in incoming]
        with_text = [index for index, each in enumerate(incoming) if each.event.feedback]
        texts = [_feedback_record(incoming[i], source, received_at, at_ms) for i in with_text]
        letters = [_letter_record(each, source, received_at) for each in rejected]
        outcomes = await self._log.append_many([*events, *texts, *letters])
        kept = [_kept(outcome) for outcome in outcomes[: len(events)]]
        for index, outcome in zip(with_text, outcomes[len(events) :], strict=False):
            kept[index] = _worse(kept[index], _kept(outcome))
        return kept, self._letters_kept(rejected, outcomes[len(events) + len(texts) :])

    def _letters_kept(
        self, rejected: Sequence[Rejected], outcomes: Sequence[Outcome]
    ) -> list[Kept]:
        kept = [_kept(outcome) for outcome in outcomes]
        for each, outcome in zip(rejected, kept, strict=True):
            self._metrics.count(m.INGEST_REFUSED, each.refusal.code)
            if outcome is Kept.YES:
                self._metrics.count(m.DEAD_LETTERS, "ingest", each.refusal.code)
            elif outcome is Kept.REFUSED:
                self._metrics.count(m.INGEST_DEAD_LETTERS_LOST)
        return kept


def _event_record(incoming: Incoming, source: str, received_at: datetime, at_ms: int) -> LogRecord:
    event = incoming.event
    envelope = EventEnvelope(
        source=source,
        event_id=event.event_id,
        user_id=event.user_id,
        type=event.type,
        timestamp=event.timestamp,
        received_at=received_at,
        anonymous_id=event.anonymous_id,
        previous_id=event.previous_id,
        name=event.name,
        original_timestamp=event.original_timestamp,
        active=event.active,
        historical=event.historical,
        flags=tuple(EventFlag(flag) for flag in event.flags),
        payload=msgspec.Raw(incoming.raw),
    )
    return LogRecord(topics.EVENTS.name, event.user_id.encode(), encode(envelope), at_ms)


def _feedback_record(
    incoming: Incoming, source: str, received_at: datetime, at_ms: int
) -> LogRecord:
    event = incoming.event
    assert event.feedback is not None  # noqa: S101  asked for those only
    feedback = Feedback(
        feedback_id=event.event_id,
        source=source,
        user_id=event.user_id,
        text=event.feedback.text,
        timestamp=event.timestamp,
        received_at=received_at,
        channel=event.feedback.channel,
        rating=event.feedback.rating,
        historical=event.historical,
    )
    return LogRecord(topics.FEEDBACK.name, event.user_id.encode(), encode(feedback), at_ms)


def _letter_record(rejected: Rejected, source: str, refused_at: datetime) -> LogRecord:
    digest = hashlib.sha256(source.encode() + b"\0" + rejected.raw).hexdigest()
    return dead_letter_record(
        DeadLetter(
            # The same bytes sent again are the same letter.
            dead_letter_id=f"ingest/{digest[:32]}",
            code=rejected.refusal.code,
            field=rejected.refusal.field,
            reason=rejected.refusal.reason,
            origin="ingest",
            refused_at=refused_at,
            value=rejected.raw[:LARGEST_DEAD_LETTER],
            source=source,
            truncated=len(rejected.raw) > LARGEST_DEAD_LETTER,
        )
    )


def _kept(outcome: Outcome) -> Kept:
    if outcome is Outcome.ACCEPTED:
        return Kept.YES
    return Kept.REFUSED if outcome in (Outcome.TOO_LARGE, Outcome.INVALID) else Kept.UNSURE


def _worse(one: Kept, other: Kept) -> Kept:
    order = (Kept.UNSURE, Kept.REFUSED, Kept.YES)
    return min(one, other, key=order.index)
