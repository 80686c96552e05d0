"""Dead letters come back from their topic as they went in."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.contracts import topics
from shared.contracts.dead_letters import DeadLetter
from shared.kafka.dead_letter_log import NotADeadLetter, dead_letter_record, read_dead_letter
from shared.kafka.log import LogRecord
from shared.kafka.records import Record

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=50)
letters = st.builds(
    DeadLetter,
    dead_letter_id=texts,
    code=texts,
    field=st.none() | texts,
    reason=texts,
    origin=texts,
    refused_at=st.integers(0, 2**42).map(
        lambda ms: datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=ms)
    ),
    value=st.binary(max_size=200),
    key=st.none() | st.binary(max_size=50),
    source=st.none() | texts,
    truncated=st.booleans(),
)


def as_read(written: LogRecord) -> Record:
    return Record(
        offset=7,
        timestamp_ms=written.timestamp_ms,
        key=written.key,
        value=written.value,
        headers=tuple(written.headers),
    )


@given(letters)
def test_a_dead_letter_comes_back_as_it_went_in(letter: DeadLetter) -> None:
    assert read_dead_letter(as_read(dead_letter_record(letter))) == letter


def test_it_goes_to_the_dead_letter_topic_with_a_list_of_headers() -> None:
    letter = DeadLetter("id", "code", None, "why", "ingest", datetime(2026, 1, 1, tzinfo=UTC), b"x")

    record = dead_letter_record(letter)

    assert record.topic == topics.DEAD_LETTER.name
    assert isinstance(record.headers, list)


def test_a_reason_that_quotes_a_lone_surrogate_is_kept_readable() -> None:
    letter = DeadLetter(
        "id", "code", None, "no \ud800", "ingest", datetime(2026, 1, 1, tzinfo=UTC), b"x"
    )

    assert read_dead_letter(as_read(dead_letter_record(letter))).reason == "no ?"


def test_a_record_that_somebody_else_put_there_is_named_as_such() -> None:
    with pytest.raises(NotADeadLetter, match="dead_letter_id"):
        read_dead_letter(Record(offset=1, timestamp_ms=1, key=None, value=b"hello"))
