"""Records as events: what is taken, what is refused and why. The store's part is tested with it."""

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from services.segmenter.inbound.decoding import decode
from shared.contracts.codec import encode
from shared.contracts.events import EventEnvelope
from shared.kafka.records import Record
from shared.vocabulary import EventType

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


def envelope(**more: Any) -> EventEnvelope:
    given: dict[str, Any] = {
        "source": "web",
        "event_id": "e",
        "user_id": "u",
        "type": EventType.TRACK,
        "timestamp": NOW,
        "received_at": NOW,
    }
    return EventEnvelope(**(given | more))


def records(*values: bytes) -> list[Record]:
    return [Record(offset, 0, None, value) for offset, value in enumerate(values, start=10)]


def test_events_come_with_their_offsets_and_refused_records_with_their_reasons() -> None:
    decoded = decode(records(encode(envelope()), b"nonsense", encode(envelope(event_id="f"))))

    assert [(each.key, each.offset) for each in decoded.events] == [
        (("web", "e"), 10),
        (("web", "f"), 12),
    ]
    (refused,) = decoded.refused
    assert (refused.record.offset, refused.code, refused.field) == (11, "undecodable", None)
    assert "JSON is malformed" in refused.reason


def test_fields_that_are_not_known_are_ignored() -> None:
    value = encode(envelope())[:-1] + b',"a_later_field":{"x":1}}'

    assert len(decode(records(value)).events) == 1


@pytest.mark.parametrize("field", ["source", "event_id", "user_id"])
@pytest.mark.parametrize("value", ["", "\x00", "a\x00"])
def test_an_id_that_is_empty_or_holds_nul_is_refused(field: str, value: str) -> None:
    decoded = decode(records(encode(envelope(**{field: value}))))

    (refused,) = decoded.refused
    assert (refused.code, refused.field) == ("invalid_envelope", field)


@pytest.mark.parametrize("version", [-1, 0, 2, 10**12])
def test_a_version_that_is_not_known_is_refused(version: int) -> None:
    (refused,) = decode(records(encode(envelope(v=version)))).refused

    assert (refused.code, refused.field) == ("unknown_version", "v")


OUTSIDE = "lies outside the years 1970 to 2199"


@pytest.mark.parametrize(
    ("instant", "reason"),
    [
        (NOW.replace(tzinfo=None), "has no time zone"),
        (datetime(1969, 12, 31, 23, 59, 59, tzinfo=UTC), OUTSIDE),
        (datetime.min.replace(tzinfo=timezone(timedelta(hours=14))), OUTSIDE),
        (datetime(2200, 1, 1, tzinfo=UTC), OUTSIDE),
        (datetime.max.replace(tzinfo=timezone(timedelta(hours=-14))), OUTSIDE),
    ],
)
@pytest.mark.parametrize("field", ["timestamp", "received_at"])
def test_an_instant_that_ingest_never_writes_is_refused(
    field: str, instant: datetime, reason: str
) -> None:
    (refused,) = decode(records(encode(envelope(**{field: instant})))).refused

    assert (refused.code, refused.field, refused.reason) == ("invalid_envelope", field, reason)


def test_a_timestamp_long_after_its_receipt_is_refused() -> None:
    ahead = envelope(timestamp=NOW + timedelta(days=2))

    (refused,) = decode(records(encode(ahead))).refused

    assert (refused.field, refused.reason) == (
        "timestamp",
        "lies more than a day after received_at",
    )


def test_an_event_of_years_ago_is_taken_whenever_it_comes() -> None:
    old = envelope(timestamp=NOW.replace(year=1999), received_at=NOW.replace(year=2005))

    assert decode(records(encode(old))).refused == []


def test_instants_of_any_zone_are_given_in_utc() -> None:
    zone = timezone(timedelta(hours=9))

    (event,) = decode(
        records(encode(envelope(timestamp=NOW.astimezone(zone), received_at=NOW.astimezone(zone))))
    ).events

    assert event.event.timestamp.isoformat() == NOW.isoformat()
    assert event.event.received_at.isoformat() == NOW.isoformat()
