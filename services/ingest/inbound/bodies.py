"""What a body holds: the events of a request and what they share, in Segment's or our own spelling."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import msgspec

from services.ingest.domain.identity import json_type
from services.ingest.domain.verdict import Refusal
from services.ingest.inbound.body import BodyRefused
from services.ingest.inbound.lenient import explain
from services.ingest.inbound.splitting import Split, split
from services.ingest.usecases.accept_events import Offer

MOST_EVENTS = 2_500
# What a batch's context may come to once each event has it: as much as an inflated body.
LARGEST_SHARED = 5 * 1024 * 1024

_raw_list = msgspec.json.Decoder(list[msgspec.Raw])
_anything = msgspec.json.Decoder()

# Our own spelling → Segment's, which everything behind speaks.
_NATIVE = {
    "id": "messageId",
    "event_id": "messageId",
    "user_id": "userId",
    "anonymous_id": "anonymousId",
    "previous_id": "previousId",
    "sent_at": "sentAt",
    "original_timestamp": "originalTimestamp",
}
# … and back, for refusals that name a field which the client left out or spelt our way.
_SPELLED = {
    "messageId": "id",
    "userId": "user_id",
    "anonymousId": "anonymous_id",
    "previousId": "previous_id",
    "sentAt": "sent_at",
    "originalTimestamp": "original_timestamp",
    "event": "name",
}
_BATCH, _EVENTS, _LIST = "batch", "events", None


class _Batch(msgspec.Struct):
    batch: list[msgspec.Raw]
    writeKey: Any = None  # noqa: N815  the client's spelling
    sentAt: Any = None  # noqa: N815
    sent_at: Any = None
    context: Any = None
    historical_migration: Any = None
    historical: Any = None


class _NativeBatch(msgspec.Struct):
    events: list[msgspec.Raw]
    historical: Any = None
    sent_at: Any = None


_batch = msgspec.json.Decoder(_Batch)
_native_batch = msgspec.json.Decoder(_NativeBatch)


@dataclass(frozen=True, slots=True)
class Contents:
    """The events of a body, and what holds for all of them. `key` is a write key inside the body."""

    offers: Sequence[Offer]
    key: str | None = None
    sent_at: Any = None
    historical: bool = False


def read_single(body: bytes) -> Contents:
    """Read a body of one event. Raises BodyRefused."""
    offer = _readable(_offer(body))
    key = offer.fields.get("writeKey") if isinstance(offer.fields, dict) else None
    return Contents([offer], key=_text(key))


def read_batch(body: bytes) -> Contents:
    """Read Segment's `{"batch": [...]}`. Raises BodyRefused."""
    batch = _decode(_batch, body, parts=_BATCH)
    _check_count(len(batch.batch), body)
    shared = _object(batch.context, "context", body)
    _check_shared(shared, len(batch.batch), body)
    historical = _flag(batch.historical_migration, "historical_migration", body)
    historical = _flag(batch.historical, "historical", body) or historical
    return Contents(
        [_with_context(_offer(bytes(raw)), shared) for raw in batch.batch],
        key=_text(batch.writeKey),
        sent_at=batch.sentAt if batch.sentAt is not None else batch.sent_at,
        historical=historical,
    )


def read_native(body: bytes) -> Contents:
    """Read one event, a list of events, or `{"events": [...]}`. Raises BodyRefused."""
    start = body.lstrip()[:1]
    if start == b"[":
        raws = _decode(_raw_list, body, parts=_LIST)
        _check_count(len(raws), body)
        return Contents([_native(_offer(bytes(raw))) for raw in raws])
    offer = _offer(body)
    if not _holds_events(offer, body):
        return Contents([_native(_readable(offer))])
    batch = _decode(_native_batch, body, parts=_EVENTS)
    _check_count(len(batch.events), body)
    return Contents(
        [_native(_offer(bytes(raw))) for raw in batch.events],
        sent_at=batch.sent_at,
        historical=_flag(batch.historical, "historical", body),
    )


def _holds_events(offer: Offer, body: bytes) -> bool:
    if offer.fields is None and offer.undecodable is not None:
        return split(body, parts=_EVENTS) is not None
    return isinstance(offer.fields, dict) and "events" in offer.fields


def _readable(offer: Offer) -> Offer:
    """Return the body's one event. Raises BodyRefused where it is no JSON at all."""
    if offer.undecodable is not None and offer.fields is None:
        raise _refused(offer.undecodable, offer.raw)
    return offer


def _offer(raw: bytes) -> Offer:
    try:
        return Offer(_anything.decode(raw), raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        fields, refusal = explain(raw, error)
        return Offer(fields, raw, refusal)


def _with_context(offer: Offer, shared: dict[str, Any] | None) -> Offer:
    """Merge the batch's context into the event's; the event's own wins."""
    if not shared or offer.undecodable is not None or not isinstance(offer.fields, dict):
        return offer
    own = offer.fields.get("context")
    if own is not None and not isinstance(own, dict):
        return offer
    fields = {**offer.fields, "context": {**shared, **(own or {})}}
    return Offer(fields, msgspec.json.encode(fields))


def _native(offer: Offer) -> Offer:
    """Return the event in Segment's spelling; its bytes stay the client's."""
    if not isinstance(offer.fields, dict):
        return offer
    fields = {_NATIVE.get(name, name): value for name, value in offer.fields.items()}
    if fields.get("type", "track") == "track":
        fields["type"] = "track"
        if "name" in fields:
            fields.setdefault("event", fields["name"])
    return Offer(fields, offer.raw, offer.undecodable, partial(_spelling, offer.fields))


def _spelling(given: Mapping[str, Any], name: str) -> str:
    """Return the name under which the client gave a field, or could have."""
    if name in given:
        return name
    return next((own for own in given if _NATIVE.get(own) == name), _SPELLED.get(name, name))


def _decode(decoder: msgspec.json.Decoder[Any], body: bytes, *, parts: str | None) -> Any:
    """Decode a body of many events; one that is no strict JSON must not refuse its neighbours.

    `parts` is the name of the list of events (None: the body is the list).
    """
    try:
        return decoder.decode(body)
    except msgspec.ValidationError:
        raise _misshapen(body, parts or "") from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        found = split(body, parts=parts)
        shell = None if found is None else _shell(decoder, found)
        if shell is None:
            raise _refused(explain(body, error)[1], body) from None
        return shell


def _shell(decoder: msgspec.json.Decoder[Any], found: Split) -> Any:
    """Decode what surrounds the events, and put them back; None where that is no JSON either."""
    try:
        shell = decoder.decode(found.around)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    events = [msgspec.Raw(raw) for raw in found.events]
    if isinstance(shell, list):
        return events
    setattr(shell, "batch" if isinstance(shell, _Batch) else "events", events)
    return shell


def _refused(refusal: Refusal, body: bytes) -> BodyRefused:
    return BodyRefused(400, refusal.code, refusal.reason, field=refusal.field, seen=body)


def _misshapen(body: bytes, parts: str) -> BodyRefused:
    """Say why a body is not an object with a list of that name."""
    try:
        fields = _anything.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        return _refused(explain(body, error)[1], body)
    if not isinstance(fields, dict):
        reason = f"must be an object with a list {parts!r}, not {json_type(fields)}"
        return BodyRefused(400, "invalid_body", reason, seen=body)
    if parts not in fields:
        return BodyRefused(400, "invalid_body", "is missing", field=parts, seen=body)
    reason = f"must be an array, not {json_type(fields[parts])}"
    return BodyRefused(400, "invalid_body", reason, field=parts, seen=body)


def _flag(value: Any, field: str, body: bytes) -> bool:
    if value is None or isinstance(value, bool):
        return value is True
    reason = f"must be true or false, not {json_type(value)}"
    raise BodyRefused(400, "invalid_body", reason, field=field, seen=body)


def _object(value: Any, field: str, body: bytes) -> dict[str, Any] | None:
    if value is None or isinstance(value, dict):
        return value
    reason = f"must be an object, not {json_type(value)}"
    raise BodyRefused(400, "invalid_body", reason, field=field, seen=body)


def _check_count(count: int, body: bytes) -> None:
    if count > MOST_EVENTS:
        raise BodyRefused(
            413,
            "too_many_events",
            f"has {count} events; at most {MOST_EVENTS} are taken",
            seen=body,
        )


def _check_shared(shared: dict[str, Any] | None, count: int, body: bytes) -> None:
    if shared and len(msgspec.json.encode(shared)) * count > LARGEST_SHARED:
        raise BodyRefused(
            413,
            "context_too_large",
            f"comes to more than {LARGEST_SHARED} bytes, repeated in {count} events",
            field="context",
            seen=body,
        )


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None
