from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.ingest.domain.clock_skew import (
    CLAMPED_FUTURE,
    FUTURE,
    LATENCY,
    NO_TIMESTAMP,
    PLAUSIBLE,
    SKEW_CORRECTED,
    SKEW_IMPLAUSIBLE,
    Receipt,
    happened_at,
    parse_instant,
)

NOW = datetime(2026, 5, 4, 12, tzinfo=UTC)
HERE = Receipt(product=NOW, machine=NOW)
HOUR = timedelta(hours=1)


@pytest.mark.parametrize(
    "wrong_by", [-HOUR, -timedelta(minutes=3), timedelta(seconds=40), 23 * HOUR]
)
def test_a_wrong_client_clock_is_corrected_by_what_it_says_at_sending(wrong_by: timedelta) -> None:
    truly = NOW - timedelta(minutes=2)

    timestamp, flags = happened_at(truly + wrong_by, NOW + wrong_by, HERE)

    assert timestamp == truly
    assert flags == (SKEW_CORRECTED,)


def test_the_networks_delay_is_no_skew_so_that_a_resent_event_keeps_its_time() -> None:
    original = NOW - timedelta(minutes=2)

    first = happened_at(original, NOW - LATENCY, HERE)
    again = happened_at(original, NOW - LATENCY / 2, HERE)

    assert first == again == (original, ())


def test_a_clock_that_is_wrong_by_more_than_a_day_is_not_believed() -> None:
    original = NOW - timedelta(days=3)

    timestamp, flags = happened_at(original, NOW - PLAUSIBLE - HOUR, HERE)

    assert timestamp == original
    assert flags == (SKEW_IMPLAUSIBLE,)


def test_an_unmodified_sdk_may_replay_history_while_product_time_is_driven() -> None:
    product = datetime(1997, 3, 1, tzinfo=UTC)
    purchase = datetime(1997, 2, 28, 15, tzinfo=UTC)

    timestamp, flags = happened_at(purchase, NOW - timedelta(seconds=1), Receipt(product, NOW))

    assert timestamp == purchase
    assert flags == ()


@pytest.mark.parametrize("claimed", [NOW + FUTURE + HOUR, datetime(9999, 12, 31, tzinfo=UTC)])
def test_a_future_beyond_the_tolerance_becomes_the_receipt_and_is_flagged(
    claimed: datetime,
) -> None:
    assert happened_at(claimed, None, HERE) == (NOW, (CLAMPED_FUTURE,))


def test_a_future_within_the_tolerance_stays() -> None:
    assert happened_at(NOW + FUTURE, None, HERE) == (NOW + FUTURE, ())


def test_an_event_without_a_time_happened_when_it_came() -> None:
    assert happened_at(None, NOW, HERE) == (NOW, (NO_TIMESTAMP,))


@given(
    original=st.datetimes(timezones=st.just(UTC)),
    sent_at=st.datetimes(timezones=st.just(UTC)) | st.none(),
)
def test_no_time_is_ever_far_in_the_future(original: datetime, sent_at: datetime | None) -> None:
    timestamp, _ = happened_at(original, sent_at, HERE)

    assert timestamp <= NOW + FUTURE


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("2026-05-04T12:00:00Z", NOW),
        ("2026-05-04T14:00:00+02:00", NOW),
        ("2026-05-04T12:00:00.123456+00:00", NOW.replace(microsecond=123456)),
        ("2026-05-04T12:00:00", NOW),
        ("2026-05-04", NOW.replace(hour=0)),
        (NOW.timestamp() * 1000, NOW),
        ("9999-12-31T23:59:59-05:00", datetime.max.replace(tzinfo=UTC)),
        ("0001-01-01T00:00:00+05:00", datetime.min.replace(tzinfo=UTC)),
        (1e300, datetime.max.replace(tzinfo=UTC)),
    ],
)
def test_times_are_understood_as_clients_write_them(written: object, meant: datetime) -> None:
    assert parse_instant(written) == meant


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("2026-05-03T24:00:00Z", NOW.replace(hour=0)),
        ("2026-05-03T24:00Z", NOW.replace(hour=0)),
        ("2026-05-03 24:00:00.000", NOW.replace(hour=0)),
        ("20260503T240000Z", NOW.replace(hour=0)),
        ("2026-05-04T24:00:00+12:00", NOW),
        ("2026-05-04T11:59:60Z", NOW),
        ("2026-05-04T11:59:60.5Z", NOW),
        ("20260504T115960", NOW),
        ("2026-05-04T13:59:60+02:00", NOW),
        ("9999-12-31T24:00:00Z", datetime.max.replace(tzinfo=UTC)),
        ("9999-12-31T23:59:60Z", datetime.max.replace(tzinfo=UTC)),
    ],
)
def test_the_end_of_a_day_and_a_leap_second_are_the_moment_that_follows(
    written: str, meant: datetime
) -> None:
    assert parse_instant(written) == meant


@pytest.mark.parametrize(
    "written",
    ["2026-05-04T24:00:01Z", "2026-05-04T24:30Z", "2026-05-04T25:00Z", "2026-05-04T12:60:00Z",
     "2026-05-04T12:00:61Z", "2026-02-30T24:00:00Z", "24:00:00", "2026-05-04T12:00:00+24:00"],
)  # fmt: skip
def test_a_time_beyond_the_end_of_a_day_or_a_minute_is_none(written: str) -> None:
    assert parse_instant(written) is None


@pytest.mark.parametrize("written", ["yesterday", "", True, [], {}, None, "2026-13-01T00:00:00Z"])
def test_what_is_no_time_is_not_taken_for_one(written: object) -> None:
    assert parse_instant(written) is None


@given(st.text() | st.integers() | st.floats() | st.booleans() | st.none())
def test_reading_a_time_never_fails(written: object) -> None:
    parse_instant(written)
