"""What a timestamp of a file means, and what is said where it means nothing."""

from contextlib import suppress
from datetime import UTC, date, datetime, timedelta, timezone
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploy.cli.exits import Failed
from deploy.cli.importing.instants import NoInstant, instant_reader

BERLIN = "Europe/Berlin"
TWO_HOURS = timezone(timedelta(hours=2))


@pytest.mark.parametrize(
    ("written", "zone", "instant"),
    [
        ("2024-03-01T12:00:00Z", BERLIN, "2024-03-01T12:00:00"),
        ("2024-03-01T12:00:00+02:00", BERLIN, "2024-03-01T10:00:00"),
        ("2024-03-01 12:00", BERLIN, "2024-03-01T11:00:00"),
        (" 2024-07-01 12:00:00.5 ", BERLIN, "2024-07-01T10:00:00.500000"),
        ("2024-03-01", BERLIN, "2024-02-29T23:00:00"),
        ("20240301", "UTC", "2024-03-01T00:00:00"),
        ("2024-03-01 12:00", "America/New_York", "2024-03-01T17:00:00"),
        # An hour that is there twice is the first; one that is not there has the offset before.
        ("2024-10-27 02:30", BERLIN, "2024-10-27T00:30:00"),
        ("2024-03-31 02:30", BERLIN, "2024-03-31T01:30:00"),
        (date(2024, 3, 1), BERLIN, "2024-02-29T23:00:00"),
        (datetime(2024, 3, 1, 12), BERLIN, "2024-03-01T11:00:00"),  # noqa: DTZ001
        (datetime(2024, 3, 1, 12, tzinfo=TWO_HOURS), BERLIN, "2024-03-01T10:00:00"),
        (1_709_294_400_000, BERLIN, "2024-03-01T12:00:00"),
    ],
)
def test_iso_times_without_an_offset_are_of_the_zone(
    written: object, zone: str, instant: str
) -> None:
    found = instant_reader("iso", zone).read(written)

    assert found == datetime.fromisoformat(instant).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("written", "zone", "instant"),
    [
        ("2024-02-29T24:00:00Z", BERLIN, "2024-03-01T00:00:00"),
        ("2016-12-31T23:59:60Z", BERLIN, "2017-01-01T00:00:00"),
        ("2016-12-31T23:59:60.5+02:00", BERLIN, "2016-12-31T22:00:00"),
        ("2024-02-29 24:00", BERLIN, "2024-02-29T23:00:00"),
        # A day of 23 hours ends at its own midnight.
        ("2024-03-31 24:00", BERLIN, "2024-03-31T22:00:00"),
    ],
)
def test_the_end_of_a_day_and_a_leap_second_are_read_as_ingest_reads_them(
    written: str, zone: str, instant: str
) -> None:
    found = instant_reader("iso", zone).read(written)

    assert found == datetime.fromisoformat(instant).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("form", "written", "instant"),
    [
        ("seconds", 1_709_294_400, "2024-03-01T12:00:00"),
        ("seconds", "1709294400.25", "2024-03-01T12:00:00.250000"),
        ("milliseconds", "1709294400000", "2024-03-01T12:00:00"),
        ("%d.%m.%Y %H:%M", "01.03.2024 12:00", "2024-03-01T11:00:00"),
        ("%d.%m.%Y", "01.03.2024", "2024-02-29T23:00:00"),
        ("%d/%b/%Y:%H:%M:%S %z", "01/Mar/2024:12:00:00 +0200", "2024-03-01T10:00:00"),
    ],
)
def test_other_forms_are_read_as_they_are_named(form: str, written: object, instant: str) -> None:
    found = instant_reader(form, BERLIN).read(written)

    assert found == datetime.fromisoformat(instant).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("form", "written", "reason"),
    [
        ("iso", "never", "'never' is no ISO 8601 time; --timestamp-format takes"),
        ("iso", "1709294400", "is no ISO 8601 time"),
        ("iso", "2024-02-29T24:30Z", "is no ISO 8601 time"),
        ("iso", "9999-12-31T24:00", "lies outside the calendar"),
        ("iso", 1_709_294_400, "looks like seconds: say --timestamp-format seconds"),
        ("iso", True, "is no text and no number"),
        ("iso", ["2024"], "is no text and no number"),
        ("iso", "0001-01-01T00:00:00+14:00", "lies outside the calendar"),
        ("iso", 1e300, "lies outside the calendar"),
        ("seconds", "2024-03-01", "is no number of seconds"),
        ("seconds", "nan", "lies outside the calendar"),
        ("seconds", "inf", "lies outside the calendar"),
        ("%d.%m.%Y", "2024-03-01", "is not of the form %d.%m.%Y"),
        ("%d.%m.%Y", 5, "is a number, not of the form"),
    ],
)
def test_what_is_no_instant_is_told_with_its_reason(form: str, written: Any, reason: str) -> None:
    with pytest.raises(NoInstant, match=reason):
        instant_reader(form, "UTC").read(written)


@pytest.mark.parametrize(
    ("zone", "reason"),
    [
        ("Europe/Berln", "there is no such zone: did you mean Europe/Berlin?"),
        ("Nowhere at all", "there is no such zone: zones are named as Europe/Berlin is"),
        ("", "there is no such zone"),
        ("../../etc/passwd", "there is no such zone"),
        ("Europe", "there is no such zone"),
        ("a\x00b", "there is no such zone"),
    ],
)
def test_a_zone_that_is_not_known_is_refused(zone: str, reason: str) -> None:
    with pytest.raises(Failed) as refused:
        instant_reader("iso", zone)

    assert reason in str(refused.value)


@pytest.mark.parametrize("form", ["", "epoch", "dd.mm.yyyy", "%", "%Q"])
def test_a_form_that_is_none_is_refused(form: str) -> None:
    with pytest.raises(Failed, match="--timestamp-format"):
        instant_reader(form, "UTC")


instants = st.datetimes(datetime(1970, 1, 2), datetime(2100, 1, 1))  # noqa: DTZ001


@given(instants, st.sampled_from(["UTC", BERLIN, "Asia/Kolkata", "America/St_Johns"]))
def test_what_a_zone_writes_with_its_offset_is_read_as_the_same_instant_in_any(
    naive: datetime, zone: str
) -> None:
    instant = naive.replace(tzinfo=UTC)
    written = instant.astimezone(ZoneInfo(zone)).isoformat()

    assert instant_reader("iso", BERLIN).read(written) == instant


@given(st.one_of(st.text(), st.integers(), st.floats(), st.none(), st.binary()))
def test_anything_at_all_is_an_instant_or_told(written: object) -> None:
    for form in ("iso", "seconds", "milliseconds", "%Y-%m-%d"):
        with suppress(NoInstant):
            assert instant_reader(form, BERLIN).read(written).tzinfo is UTC
