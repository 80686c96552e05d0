"""What travels in the events and feedback topics: the client's own event in a thin envelope."""

from datetime import datetime
from enum import StrEnum

import msgspec

from shared.vocabulary import EventType

EVENT_VERSION = 1


class EventFlag(StrEnum):
    """What ingest did to an event's time, or noticed about it."""

    SKEW_CORRECTED = "skew_corrected"
    SKEW_IMPLAUSIBLE = "skew_implausible"
    CLAMPED_FUTURE = "clamped_future"
    NO_TIMESTAMP = "no_timestamp"


class EventEnvelope(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True, gc=False):
    """One accepted event.

    `timestamp` is when it happened, corrected for the client's clock; `received_at` is when ingest
    took it, and is the Kafka record's own timestamp too (there in whole milliseconds). `active` is
    false where the client says that the user did nothing (Segment's `context.active`): such an
    event must not move `last_seen`. `previous_id` is an alias': the id that becomes `user_id`'s. `payload` holds the client's event, byte for byte.

    Readers ignore fields they do not know.
    """

    # By a factory, because plain defaults are left out: every message says its version.
    v: int = msgspec.field(default_factory=lambda: EVENT_VERSION)
    source: str
    event_id: str
    user_id: str
    type: EventType
    timestamp: datetime
    received_at: datetime
    anonymous_id: str | None = None
    previous_id: str | None = None
    name: str | None = None
    original_timestamp: str | None = None
    active: bool = True
    historical: bool = False
    flags: tuple[EventFlag, ...] = ()
    payload: msgspec.Raw = msgspec.Raw(b"{}")
