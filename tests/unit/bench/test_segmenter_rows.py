"""The rows that the segmenter's benchmark writes by itself: raw limits, and users known before."""

from datetime import UTC, datetime, timedelta

from aiokafka.structs import ConsumerRecord
from msgspec import structs

from shared.contracts.codec import encode
from shared.contracts.events import EventEnvelope
from shared.database.tables.segmenter import events, users
from tests.bench.segmenter import known, raw_copy, rows
from tests.bench.segmenter.backlog import envelope, envelopes
from tests.bench.segmenter.workload import sessions

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


def record_of(event: EventEnvelope, *, offset: int = 7) -> ConsumerRecord[bytes, bytes]:
    value = encode(event)
    return ConsumerRecord("events", 3, offset, 0, 0, b"", value, None, 0, len(value), ())


def test_the_raw_limit_writes_every_column_of_the_event_log() -> None:
    assert set(rows.COLUMNS) == set(events.columns.keys())


def test_a_raw_row_has_a_field_for_each_column_in_their_order() -> None:
    event = envelope(identity="event-1", user="user-1", received_at=NOW)

    fields = raw_copy.row_maker(rows.COLUMNS)(record_of(event)).split("\t")

    row = dict(zip(rows.COLUMNS, fields, strict=True))
    assert row["event_id"] == "event-1"
    assert datetime.fromisoformat(row["received_at"]) == NOW
    assert (row["part"], row["kafka_offset"], row["anonymous_id"]) == ("3", "7", r"\N")
    assert row["payload"] == bytes(event.payload).decode()


def test_a_raw_row_of_a_table_with_fewer_columns_leaves_the_others_out() -> None:
    event = envelope(identity="event-1", user="user-1", received_at=NOW)

    assert raw_copy.row_maker(["user_id", "event_id"])(record_of(event)) == "user-1\tevent-1"


def test_a_raw_row_escapes_what_copy_reads_otherwise() -> None:
    plain = envelope(identity="event-1", user="user-1", received_at=NOW)
    event = structs.replace(plain, event_id="a\tb\\c\nd")

    row = raw_copy.row_maker(["event_id", "user_id"])(record_of(event))

    assert row == "a\\tb\\\\c\\nd\tuser-1"


def test_known_users_are_given_every_column_of_the_users_table() -> None:
    assert set(users.columns.keys()) - known.EXPRESSIONS.keys() == set()


def test_a_backlog_is_received_in_order_over_its_span() -> None:
    span = timedelta(hours=1)

    made = list(envelopes(sessions(1_000), 360, first=NOW, span=span))

    receipts = [each.received_at for each in made]
    assert receipts == sorted(receipts)
    assert (receipts[0], receipts[-1]) == (NOW, NOW + span - timedelta(seconds=10))
    assert len({each.event_id for each in made}) == 360
    assert all(each.timestamp < each.received_at for each in made)
