"""The calendar says of every instant what zoneinfo says, and cuts hours where clocks are changed."""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.segmenter.domain.calendar import Calendar

ZONES = (
    "UTC",
    "Europe/Berlin",
    "Asia/Kolkata",
    "Asia/Kathmandu",
    "Australia/Lord_Howe",
    "America/St_Johns",
    "America/Goose_Bay",
    "America/Sao_Paulo",
    "Pacific/Apia",
    "Africa/Monrovia",
)
CALENDARS = {name: Calendar(ZoneInfo(name)) for name in ZONES}
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

zones = st.sampled_from(ZONES)
# Clocks were changed most between 1985 and 2030; around these instants nearly everything can go wrong.
CHANGES = (
    "2026-03-29T01:00:00+00:00",  # Berlin, forward
    "2026-10-25T01:00:00+00:00",  # Berlin, back
    "2026-04-04T15:00:00+00:00",  # Lord Howe, back by half an hour
    "2026-10-03T15:30:00+00:00",  # Lord Howe, forward by half an hour
    "2006-10-29T02:31:00+00:00",  # St. John's, back from 00:01 to 23:01 of the day before
    "2006-04-02T03:31:00+00:00",  # St. John's, forward from 00:01 to 01:01
    "2006-10-29T03:01:00+00:00",  # Goose Bay, back from 00:01, in the middle of an hour of UTC
    "2018-11-04T03:00:00+00:00",  # São Paulo, forward at midnight: the day begins at 01:00
    "2018-02-18T02:00:00+00:00",  # São Paulo, back at midnight
    "2011-12-30T10:00:00+00:00",  # Apia skips a day
    "1972-01-07T00:44:30+00:00",  # Monrovia, by 44 minutes and 30 seconds
)
instants = st.one_of(
    st.timedeltas(timedelta(days=-25_000), timedelta(days=80_000)).map(lambda off: EPOCH + off),
    st.builds(
        lambda change, off: datetime.fromisoformat(change) + timedelta(microseconds=off),
        st.sampled_from(CHANGES),
        st.one_of(st.integers(-90 * 60_000_000, 90 * 60_000_000), st.integers(-(10**11), 10**11)),
    ),
)


@given(zones, instants)
def test_a_day_is_the_local_date(zone: str, instant: datetime) -> None:
    day = CALENDARS[zone].day_of(instant)

    assert date.fromordinal(day) == instant.astimezone(ZoneInfo(zone)).date()


@given(zones, st.lists(instants, max_size=20))
def test_what_was_asked_before_changes_no_answer(zone: str, asked: list[datetime]) -> None:
    calendar = Calendar(ZoneInfo(zone))

    days = [calendar.day_of(instant) for instant in [*asked, *reversed(asked)]]

    fresh = [Calendar(ZoneInfo(zone)).day_of(instant) for instant in asked]
    assert days == fresh + fresh[::-1]


@given(zones, instants)
def test_microseconds_since_1970_lie_on_the_same_day(zone: str, instant: datetime) -> None:
    at = (instant - EPOCH) // timedelta(microseconds=1)

    assert CALENDARS[zone].day_of_microsecond(at) == CALENDARS[zone].day_of(instant)


@given(zones, instants)
def test_an_hour_holds_its_instant_and_shows_one_hour_of_the_clock(
    zone: str, instant: datetime
) -> None:
    calendar = CALENDARS[zone]

    began = calendar.hour_of(instant)

    assert timedelta(0) <= instant - began < timedelta(hours=1)
    local, local_began = (each.astimezone(ZoneInfo(zone)) for each in (instant, began))
    assert (local.date(), local.hour) == (local_began.date(), local_began.hour)
    assert local.utcoffset() == local_began.utcoffset()


@given(zones, instants)
def test_an_hour_begins_when_the_clock_strikes_or_is_changed(zone: str, instant: datetime) -> None:
    began = CALENDARS[zone].hour_of(instant)

    local = began.astimezone(ZoneInfo(zone))
    just_before = (began - timedelta(microseconds=1)).astimezone(ZoneInfo(zone))
    strikes = (local.minute, local.second, local.microsecond) == (0, 0, 0)
    assert strikes or local.utcoffset() != just_before.utcoffset()


@given(
    zones,
    instants,
    st.lists(
        st.integers(-5_400, 5_400).map(lambda seconds: timedelta(seconds=seconds)), max_size=9
    ),
)
def test_what_was_asked_shortly_before_changes_no_hour(
    zone: str, instant: datetime, apart: list[timedelta]
) -> None:
    calendar = Calendar(ZoneInfo(zone))
    asked = [instant + each for each in apart]

    hours = [calendar.hour_of(each) for each in [*asked, *asked]]

    fresh = [Calendar(ZoneInfo(zone)).hour_of(each) for each in asked]
    assert hours == fresh + fresh


def test_an_hour_of_utc_that_a_change_cuts_is_two_whichever_is_asked_first() -> None:
    calendar = Calendar(ZoneInfo("America/Goose_Bay"))
    before, after = (datetime(2006, 10, 29, 3, minute, 30, tzinfo=UTC) for minute in (0, 1))

    hours = [calendar.hour_of(each) for each in (before, after, before)]

    struck, changed = (datetime(2006, 10, 29, 3, minute, tzinfo=UTC) for minute in (0, 1))
    assert hours == [struck, changed, struck]


@given(zones, instants)
def test_an_hour_begins_in_itself(zone: str, instant: datetime) -> None:
    calendar = CALENDARS[zone]

    began = calendar.hour_of(instant)

    assert calendar.hour_of(began) == began


@pytest.mark.parametrize(
    ("zone", "instant", "began"),
    [
        ("Asia/Kolkata", "2026-11-24T10:10:00+00:00", "2026-11-24T09:30:00+00:00"),
        ("Asia/Kathmandu", "2026-11-24T10:10:00+00:00", "2026-11-24T09:15:00+00:00"),
        ("Europe/Berlin", "2026-10-25T01:30:00+00:00", "2026-10-25T01:00:00+00:00"),
        ("Australia/Lord_Howe", "2026-04-04T15:10:00+00:00", "2026-04-04T15:00:00+00:00"),
    ],
    ids=["by half an hour", "by a quarter", "the second 02:00", "from 02:00 back to 01:30"],
)
def test_hours_follow_the_local_clock(zone: str, instant: str, began: str) -> None:
    found = CALENDARS[zone].hour_of(datetime.fromisoformat(instant))

    assert found == datetime.fromisoformat(began)


@given(st.dates())
def test_weeks_begin_on_mondays_and_months_on_their_first(day: date) -> None:
    week = Calendar.week_of(day.toordinal())

    assert date.fromordinal(week).isoweekday() == 1
    assert 0 <= day.toordinal() - week < 7
    assert date.fromordinal(Calendar.month_of(day.toordinal())) == day.replace(day=1)


@pytest.mark.parametrize("zone", ZONES)
@pytest.mark.parametrize(
    "instant",
    [datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)],
    ids=["first", "last"],
)
def test_the_ends_of_the_calendar_are_days_of_utc(zone: str, instant: datetime) -> None:
    assert CALENDARS[zone].day_of(instant) == instant.toordinal()
    assert CALENDARS[zone].hour_of(instant) == instant.replace(minute=0, second=0, microsecond=0)
