"""Records of the events topic as events, and those that are none."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import msgspec

from services.segmenter.usecases.ports import Folding
from shared.clock import EARLIEST, LATEST
from shared.contracts.codec import UNDECODABLE, decode_event, why
from shared.contracts.events import EVENT_VERSION, EventEnvelope
from shared.kafka.records import Record
from shared.lanes.work import Refused

# Receipts are product time, which has bounds; ingest takes nothing older, and nothing that is much later than
# its receipt. An instant beyond that is a fault, and would make partitions of tables that nobody ever needs.
# Not compared with our own clock: where that is wrong, good events must not be refused.
AHEAD = timedelta(days=1)

Fault = tuple[str, str, str]  # code, field, reason


@dataclass(frozen=True, slots=True)
class Decoded:
    """The events of a batch and the records that can't be applied.

    `received`: when the first and the last of the events were.
    """

    events: Sequence[Folding]
    refused: Sequence[Refused]
    received: tuple[datetime, datetime] | None = None


def decode(records: Sequence[Record]) -> Decoded:
    """Judge each record by itself: one that is broken does not stop its neighbours."""
    events: list[Folding] = []
    refused: list[Refused] = []
    for record in records:
        value = record.value
        try:
            event = decode_event(value)
        except UNDECODABLE as error:
            refused.append(Refused(record, "undecodable", None, why(error)))
            continue
        # U+0000 comes escaped: JSON's texts hold no control characters as they are.
        is_plain = b"\\" not in value
        if is_plain and _is_sound(event):
            events.append(Folding(event, record.offset, is_plain))
        elif fault := _fault(event) or _fault_of_time(event):
            refused.append(Refused(record, *fault))
        else:
            events.append(Folding(_in_utc(event), record.offset, is_plain))
    return Decoded(events, refused)


def _is_sound(event: EventEnvelope) -> bool:
    """Say at a glance that an event without escapes has no fault and is in UTC, as nearly all are."""
    received_at, timestamp = event.received_at, event.timestamp
    return (
        event.v == EVENT_VERSION
        and timestamp.tzinfo is UTC
        and received_at.tzinfo is UTC
        and EARLIEST <= timestamp <= received_at < LATEST
        and event.source != ""
        and event.event_id != ""
        and event.user_id != ""
    )


def _fault(event: EventEnvelope) -> Fault | None:
    """Return what is wrong where the envelope can't be worked with."""
    if not 1 <= event.v <= EVENT_VERSION:
        return "unknown_version", "v", f"version {event.v}; this segmenter knows {EVENT_VERSION}"
    for field in ("source", "event_id", "user_id"):
        value = getattr(event, field)
        if not value or "\x00" in value:
            return "invalid_envelope", field, "is empty or holds U+0000"
    return None


def _fault_of_time(event: EventEnvelope) -> Fault | None:
    """Return what is wrong with an instant. The order counts: the receipt limits the timestamp."""
    for field in ("received_at", "timestamp"):
        instant: datetime = getattr(event, field)
        if instant.tzinfo is None:
            return "invalid_envelope", field, "has no time zone"
        if not EARLIEST <= instant < LATEST:
            return "invalid_envelope", field, "lies outside the years 1970 to 2199"
    if event.timestamp > event.received_at + AHEAD:
        return "invalid_envelope", "timestamp", "lies more than a day after received_at"
    return None


def _in_utc(event: EventEnvelope) -> EventEnvelope:
    """Return the event with its instants in UTC, whose days and months the tables go by."""
    if event.timestamp.tzinfo is UTC and event.received_at.tzinfo is UTC:
        return event
    return msgspec.structs.replace(
        event,
        timestamp=event.timestamp.astimezone(UTC),
        received_at=event.received_at.astimezone(UTC),
    )
