"""The instant up to which everything received is folded: never too early, never falling."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.lanes.watermark import IN_FLIGHT, EndAnswer, instant_of, watermark_after

NOON = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)


def ms(instant: datetime) -> int:
    return int(instant.timestamp() * 1000)


@pytest.mark.parametrize(
    ("newest", "end", "wanted"),
    [
        (NOON - HOUR, None, NOON - HOUR - IN_FLIGHT),  # a backlog, the broker not asked
        (NOON - HOUR, 11, NOON - HOUR - IN_FLIGHT),  # a backlog: one record is not folded
        (NOON - HOUR, 10, NOON - IN_FLIGHT),  # read out
        (None, 10, NOON - IN_FLIGHT),  # idle and read out
        (None, 11, None),  # idle, though there is more
        (None, None, None),  # nothing known
        (NOON + HOUR, None, NOON - IN_FLIGHT),  # another machine's clock is ahead
    ],
)
def test_the_watermark_follows_receipts_in_a_backlog_and_the_clock_at_the_end(
    newest: datetime | None, end: int | None, wanted: datetime | None
) -> None:
    answer = None if end is None else EndAnswer(NOON, end)

    found = watermark_after(
        None,
        newest_ms=None if newest is None else ms(newest),
        position=10,
        answer=answer,
        now=NOON,
    )

    assert found == wanted


def test_a_receipt_that_others_may_share_is_not_reached_by_folding_one_of_them() -> None:
    waiting = EndAnswer(NOON, 11)  # a record more, received at the same instant

    found = watermark_after(None, newest_ms=ms(NOON), position=10, answer=waiting, now=NOON)

    assert found is not None
    assert found < NOON


def test_an_old_answer_counts_from_when_it_was_asked() -> None:
    answer = EndAnswer(NOON - HOUR, 10)

    found = watermark_after(None, newest_ms=None, position=10, answer=answer, now=NOON)

    assert found == NOON - HOUR - IN_FLIGHT


instants = st.datetimes(
    min_value=datetime(1996, 1, 1),  # noqa: DTZ001  hypothesis adds the zone
    max_value=datetime(2040, 1, 1),  # noqa: DTZ001
    timezones=st.just(UTC),
)


@given(
    before=st.none() | instants,
    newest=st.none() | instants,
    asked=st.none() | instants,
    behind=st.integers(-3, 3),
    now=instants,
)
def test_it_never_falls_and_never_runs_ahead_of_the_clock(
    before: datetime | None,
    newest: datetime | None,
    asked: datetime | None,
    behind: int,
    now: datetime,
) -> None:
    answer = None if asked is None else EndAnswer(asked, 10 + behind)
    newest_ms = None if newest is None else ms(newest)

    found = watermark_after(before, newest_ms=newest_ms, position=10, answer=answer, now=now)

    if before is not None:
        assert found is not None
        assert found >= before
    if found != before:
        assert found is not None
        assert found <= now


@pytest.mark.parametrize("timestamp_ms", [2**63 - 1, -(2**63), -1, 0])
def test_any_timestamp_of_a_record_is_some_instant(timestamp_ms: int) -> None:
    assert instant_of(timestamp_ms).tzinfo is UTC
