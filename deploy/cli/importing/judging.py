"""Turns rows into events for ingest, and says of each other one why it is none. Pure."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from deploy.cli.importing.fields import FieldPlan, Unusable, event_of
from deploy.cli.importing.instants import InstantReader, NoInstant
from deploy.cli.importing.rows import Broken, Found, Place, Row
from shared.vocabulary import EventType

LARGEST_EVENT = 32 * 1024  # ingest's limit
FIRST = datetime(1970, 1, 1, tzinfo=UTC)
FUTURE = timedelta(minutes=10)  # ingest's: beyond it, a time would become that of its receipt

_encoder = msgspec.json.Encoder(order="deterministic")


@dataclass(frozen=True, slots=True)
class Event:
    """An event as it is sent, and the row that it comes from."""

    line: int
    body: bytes
    raw: bytes | None
    end: Place


@dataclass(frozen=True, slots=True)
class Rejected:
    """A row that is not imported, and why."""

    line: int
    code: str
    reason: str
    raw: bytes | None
    end: Place


class _Refused(Exception):
    def __init__(self, code: str, reason: str) -> None:
        super().__init__(code, reason)
        self.code, self.reason = code, reason


@dataclass(frozen=True, slots=True)
class Judge:
    """What holds for every row of a file. `now`: what happened after it has not happened."""

    plan: FieldPlan
    instants: InstantReader
    now: datetime

    def of(self, found: Found) -> Event | Rejected:
        if isinstance(found, Broken):
            return Rejected(found.line, found.code, found.reason, found.raw, found.end)
        try:
            return self._event(found)
        except _Refused as refused:
            raw = found.raw if found.raw is not None else _encoded(found.values)
            return Rejected(found.line, refused.code, refused.reason, raw, found.end)

    def _event(self, row: Row) -> Event:
        try:
            event = event_of(row.values, self.plan)
        except Unusable as error:
            raise _Refused("invalid_type", str(error)) from None
        _check_person(event)
        _check_kind(event)
        event["timestamp"] = self._instant(event.get("timestamp"))
        if "id" not in event:
            event["id"] = _made_id(event, row.line)
        body = _encoded(event)
        if len(body) > LARGEST_EVENT:
            reason = f"has {len(body)} bytes as an event; at most {LARGEST_EVENT} are taken"
            raise _Refused("event_too_large", reason)
        return Event(row.line, body, row.raw, row.end)

    def _instant(self, written: Any) -> str:
        if written is None:
            raise _Refused("missing_field", "timestamp is missing")
        try:
            instant = self.instants.read(written)
        except NoInstant as error:
            raise _Refused("invalid_timestamp", f"timestamp: {error}") from None
        if instant < FIRST:
            raise _Refused("timestamp_out_of_range", f"timestamp: {written} lies before 1970")
        if instant > self.now + FUTURE:
            raise _Refused("timestamp_out_of_range", f"timestamp: {written} lies in the future")
        return instant.isoformat()


def _check_person(event: Mapping[str, Any]) -> None:
    if all(_is_blank(event.get(field)) for field in ("user_id", "anonymous_id")):
        raise _Refused("missing_field", "user_id is missing, and there is no anonymous_id")


def _check_kind(event: Mapping[str, Any]) -> None:
    kind = event.get("type", EventType.TRACK)
    if kind not in list(EventType):
        raise _Refused("unknown_type", f"type: {kind!r:.60} must be one of: {', '.join(EventType)}")
    if kind == EventType.TRACK and _is_blank(event.get("name")):
        raise _Refused("missing_field", "name is missing: a track event needs one")


def _is_blank(value: Any) -> bool:
    return value is None or (isinstance(value, str) and not value.strip())


def _made_id(event: Mapping[str, Any], line: int) -> str:
    """Return an id that the same row gets whenever it is imported, also once the file has grown."""
    digest = hashlib.blake2b(_encoded(event), digest_size=16, salt=b"ebbtide import")
    digest.update(str(line).encode())
    return f"import-{digest.hexdigest()}"


def _encoded(values: Mapping[str, Any]) -> bytes:
    try:
        return _encoder.encode(values)
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise _Refused("invalid_type", f"holds what JSON has no form for: {error}") from None
