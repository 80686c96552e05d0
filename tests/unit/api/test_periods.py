"""Periods and hours as the api shows them are those that the segmenter counts."""

from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.api.domain.periods import Period, hours, midnight, starts, today
from services.segmenter.domain.calendar import Calendar

ZONES = ("UTC", "Europe/Berlin", "Asia/Kolkata", "Australia/Lord_Howe", "America/Sao_Paulo")
FIRST, LAST = date(1971, 1, 1), date(2199, 12, 1)
dates = st.dates(FIRST, LAST)
zones = st.sampled_from(ZONES)


@pytest.mark.parametrize(
    ("period", "expected"),
    [
        (Period.DAY, ["2026-02-27", "2026-02-28", "2026-03-01"]),
        (Period.WEEK, ["2026-02-23"]),
        (Period.MONTH, ["2026-02-01", "2026-03-01"]),
    ],
)
def test_every_period_that_holds_a_day_of_the_range_is_named(
    period: Period, expected: list[str]
) -> None:
    found = starts(period, date(2026, 2, 27), date(2026, 3, 2))

    assert [each.isoformat() for each in found] == expected


@given(st.sampled_from(Period), dates)
def test_periods_follow_each_other_without_a_gap(period: Period, day: date) -> None:
    start = period.start(day)
    following = period.following(start)

    assert start <= day < following
    assert period.start(following) == following
    assert period.start(following - timedelta(days=1)) == start
    assert period.before(following, 1) == start


@given(dates)
def test_weeks_and_months_begin_where_the_segmenters_do(day: date) -> None:
    ordinal = day.toordinal()

    assert Period.WEEK.start(day).toordinal() == Calendar.week_of(ordinal)
    assert Period.MONTH.start(day).toordinal() == Calendar.month_of(ordinal)


@given(zones, st.dates(date(1980, 1, 1), date(2037, 1, 1)), st.integers(1, 3))
def test_hours_are_those_that_the_segmenter_counts(zone: str, day: date, days: int) -> None:
    """Each begins where the segmenter's does, and none lies between two of them."""
    at, calendar = ZoneInfo(zone), Calendar(ZoneInfo(zone))
    begin, end = midnight(day, at), midnight(day + timedelta(days=days), at)

    found = list(hours(begin, end, at))

    assert found[0] == begin
    for each, following in pairwise([*found, end]):
        assert calendar.hour_of(each) == each
        assert calendar.hour_of(following - timedelta(microseconds=1)) == each


@pytest.mark.parametrize(
    ("day", "number"), [("2026-03-28", 24), ("2026-03-29", 23), ("2026-10-25", 25)]
)
def test_a_day_on_which_the_clock_is_changed_has_fewer_hours_or_more(day: str, number: int) -> None:
    zone, first = ZoneInfo("Europe/Berlin"), date.fromisoformat(day)
    end = midnight(first + timedelta(days=1), zone)

    assert len(list(hours(midnight(first, zone), end, zone))) == number


@given(zones, st.dates(date(1980, 1, 1), date(2037, 1, 1)))
def test_a_day_begins_at_its_midnight_or_where_the_clock_skips_it(zone: str, day: date) -> None:
    at = ZoneInfo(zone)

    begin = midnight(day, at)

    assert today(begin, at) == day
    assert today(begin - timedelta(microseconds=1), at) < day


def test_today_is_the_date_on_the_products_calendar() -> None:
    late = datetime(2026, 2, 28, 23, 30, tzinfo=UTC)

    assert today(late, ZoneInfo("Europe/Berlin")) == date(2026, 3, 1)
