"""Records of the events topic as events, and those that are none."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from services.segmenter.usecases.ports import Folding
from shared.contracts.codec import decode_event, why_undecodable
from shared.contracts.events import EVENT_VERSION, EventEnvelope
from shared.kafka.records import Record
from shared.lanes.work import Refused


@dataclass(frozen=True, slots=True)
class Decoded:
    """The events of a batch and the records that can't be applied."""

    events: Sequence[Folding]
    refused: Sequence[Refused]


def decode(records: Sequence[Record]) -> Decoded:
    """Judge each record by itself: one that is broken does not stop its neighbours."""
    events: list[Folding] = []
    refused: list[Refused] = []
    for record in records:
        event = why_undecodable(decode_event, record.value)
        if isinstance(event, str):
            refused.append(Refused(record, "undecodable", None, event))
            continue
        fault = _fault(event)
        if fault is None:
            events.append(Folding(event, record.offset))
        else:
            refused.append(Refused(record, *fault))
    return Decoded(events, refused)


def _fault(event: EventEnvelope) -> tuple[str, str, str] | None:
    """Return code, field and reason where the envelope can't be worked with."""
    if event.v > EVENT_VERSION:
        return "unknown_version", "v", f"version {event.v}; this segmenter knows {EVENT_VERSION}"
    for field in ("source", "event_id", "user_id"):
        value = getattr(event, field)
        if not value or "\x00" in value:
            return "invalid_envelope", field, "is empty or holds U+0000"
    instants: tuple[tuple[str, datetime], ...] = (
        ("timestamp", event.timestamp),
        ("received_at", event.received_at),
    )
    for field, instant in instants:
        if instant.tzinfo is None:
            return "invalid_envelope", field, "has no time zone"
    return None
