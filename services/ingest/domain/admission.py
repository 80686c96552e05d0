"""The judge: which events are admitted, which are refused and why. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from services.ingest.domain import clock_skew
from services.ingest.domain.clock_skew import Receipt, happened_at, parse_instant
from services.ingest.domain.contents import (
    DEEPEST,
    flag_of,
    mapping_of,
    refuse_negative_amounts,
    refuse_nul,
    refuse_too_deep,
)
from services.ingest.domain.feedback import feedback_of
from services.ingest.domain.identity import clean_id, clean_person, json_type
from services.ingest.domain.verdict import Admitted, Refusal, Refused
from shared.vocabulary import EventType

LARGEST_EVENT_BYTES = 32 * 1024
LONGEST_NAME = 200
NAMELESS = "is missing or empty: a track event needs a name"


@dataclass(frozen=True, slots=True)
class Circumstances:
    """What holds for every event of a request. `default_type` is None where events must say theirs."""

    receipt: Receipt
    sent_at: datetime | None
    historical: bool
    default_type: EventType | None = None


def judge(
    fields: object, raw: bytes | memoryview, circumstances: Circumstances, *, made_id: str
) -> Admitted | Refusal:
    """Return the event as admitted, or the first reason to refuse it.

    `fields` is the decoded JSON in Segment's spelling, `raw` the bytes that it came in, `made_id`
    the id that it gets if it brought none.
    """
    try:
        return _admit(_event(fields, bytes(raw)), circumstances, made_id=made_id)
    except Refused as refused:
        return refused.refusal


def _event(fields: object, raw: bytes) -> Mapping[str, Any]:
    if not isinstance(fields, dict):
        raise Refused("invalid_type", None, f"must be an object, not {json_type(fields)}")
    if len(raw) > LARGEST_EVENT_BYTES:
        raise Refused(
            "event_too_large",
            None,
            f"has {len(raw)} bytes; at most {LARGEST_EVENT_BYTES} are taken",
        )
    # The bytes tell cheaply that most events need no closer look.
    if raw.count(b"{") + raw.count(b"[") > DEEPEST:
        refuse_too_deep(fields)
    if b"\\u0000" in raw:
        refuse_nul(fields)
    return fields


def _admit(fields: Mapping[str, Any], circumstances: Circumstances, *, made_id: str) -> Admitted:
    kind = _kind(fields, circumstances.default_type)
    context = mapping_of(fields, "context")
    properties = mapping_of(fields, "properties")
    mapping_of(fields, "traits")
    anonymous_id = clean_person(fields.get("anonymousId"), field="anonymousId")
    user_id = clean_person(fields.get("userId"), field="userId") or anonymous_id
    if user_id is None:
        raise Refused(
            "missing_field", "userId", "is missing or empty, and there is no anonymous id"
        )
    previous_id = _previous_id(fields) if kind is EventType.ALIAS else None
    name = _name(fields, kind)
    active = flag_of(context, "active", within="context") is not False
    historical = _says_historical(fields, context)
    refuse_negative_amounts(properties)
    original, timestamp, flags = _time(fields, circumstances)
    return Admitted(
        event_id=clean_id(fields.get("messageId"), field="messageId") or made_id,
        user_id=user_id,
        anonymous_id=anonymous_id,
        previous_id=previous_id,
        type=kind,
        name=name,
        timestamp=timestamp,
        original_timestamp=original,
        active=active,
        historical=circumstances.historical or historical,
        flags=flags,
        feedback=feedback_of(kind, name, fields),
    )


def _kind(fields: Mapping[str, Any], default: EventType | None) -> EventType:
    given = fields.get("type")
    if given is None and default is not None:
        return default
    if given is None:
        raise Refused("missing_field", "type", "is missing: an event of a batch says what it is")
    try:
        kind = EventType(given) if isinstance(given, str) else None
    except ValueError:
        kind = None
    if kind is None:
        known = ", ".join(EventType)
        raise Refused("unknown_type", "type", f"must be one of: {known}")
    return kind


def _previous_id(fields: Mapping[str, Any]) -> str:
    previous_id = clean_person(fields.get("previousId"), field="previousId")
    if previous_id is None:
        raise Refused(
            "missing_field",
            "previousId",
            "is missing or empty: an alias names the id that becomes the user's",
        )
    return previous_id


def _name(fields: Mapping[str, Any], kind: EventType) -> str | None:
    field = "event" if kind is EventType.TRACK else "name"
    name = fields.get(field)
    if name is None:
        if kind is EventType.TRACK:
            raise Refused("missing_field", "event", NAMELESS)
        return None
    if not isinstance(name, str):
        raise Refused("invalid_type", field, f"must be a string, not {json_type(name)}")
    if len(name) > LONGEST_NAME:
        raise Refused("name_too_long", field, f"is longer than {LONGEST_NAME} characters")
    if kind is EventType.TRACK and not name.strip():
        raise Refused("missing_field", "event", NAMELESS)
    return name


def _time(
    fields: Mapping[str, Any], circumstances: Circumstances
) -> tuple[str | None, datetime, tuple[str, ...]]:
    """Return the time as the client wrote it, as it is taken, and what was done to it."""
    field = "timestamp" if fields.get("originalTimestamp") is None else "originalTimestamp"
    written = fields.get(field)
    original = parse_instant(written)
    if written is not None and original is None:
        raise Refused("invalid_timestamp", field, "is not an ISO 8601 time")
    if original is not None and clock_skew.looks_like_seconds(written, original):
        raise Refused(
            "invalid_timestamp", field, "must be in milliseconds since 1970, and looks like seconds"
        )
    if original is not None and clock_skew.is_before_computers(original):
        raise Refused("timestamp_out_of_range", field, "lies before 1970")
    sent_at = parse_instant(fields.get("sentAt")) or circumstances.sent_at
    timestamp, flags = happened_at(original, sent_at, circumstances.receipt)
    if clock_skew.is_before_computers(timestamp):
        raise Refused("timestamp_out_of_range", field, "lies before 1970")
    return None if written is None else str(written)[:64], timestamp, flags


def _says_historical(fields: Mapping[str, Any], context: Mapping[str, Any]) -> bool:
    said = (flag_of(fields, "historical"), flag_of(context, "historical", within="context"))
    return True in said
