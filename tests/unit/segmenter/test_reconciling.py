"""A recount is the definition applied to everything at once, and a difference names what differs."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.segmenter.domain.active_days import ActiveDays
from services.segmenter.domain.calendar import Calendar
from services.segmenter.domain.deadlines import Deadline
from services.segmenter.domain.lifecycle import state_at
from services.segmenter.domain.origin import Origin
from services.segmenter.domain.policy import Policies, Policy
from services.segmenter.domain.reconciling import (
    Activity,
    Counts,
    UserRecord,
    count_differences,
    differences,
    recount,
)
from services.segmenter.domain.spans import Span
from shared.vocabulary import Lifecycle

START = datetime(2026, 1, 5, 12, tzinfo=UTC)
DAY = timedelta(days=1)
ZONE = ZoneInfo("Asia/Kolkata")
CALENDAR = Calendar(ZONE)
STRICT = Policy(2, 3 * DAY, 2 * DAY, 9 * DAY, 2 * DAY)
POLICIES = Policies(Policy(1, 7 * DAY, 7 * DAY, 30 * DAY, 7 * DAY)).followed_by(
    STRICT, START + 40 * DAY
)

instants = st.sets(
    st.integers(0, 90 * 24).map(lambda hours: START + timedelta(hours=hours)), min_size=1
)


def unknown(*, version: int = 2, settled: datetime = START) -> UserRecord:
    """Return a user of whom nothing but the version and how far time has passed is right."""
    return UserRecord(
        "ada", version, (Span(START, START),), None, Origin(), 0, Lifecycle.NEW, settled, None, ()
    )


@given(instants, st.integers(0, 200))
def test_a_recounted_user_is_what_the_rule_says_of_them(given_: set[datetime], later: int) -> None:
    settled = max(given_) + later * DAY
    stored = unknown(settled=settled)

    found = recount(stored, Activity(list(given_), Origin("ads", "web")), POLICIES, CALENDAR)

    assert found.lifecycle == state_at(found.spans, POLICIES, settled)
    assert (found.spans[0].start, found.spans[-1].end) == (min(given_), max(given_))
    assert found.days == ActiveDays.of(
        instant.astimezone(ZONE).date().toordinal() for instant in given_
    )
    assert found.event_count == len(given_)
    assert found.deadline is None or found.deadline.at > settled


@given(instants)
def test_a_recount_of_what_was_recounted_differs_in_nothing(given_: set[datetime]) -> None:
    activity = Activity(list(given_), Origin())
    once = recount(unknown(), activity, POLICIES, CALENDAR)

    assert differences(once, recount(once, activity, POLICIES, CALENDAR)) == []


def test_a_user_is_judged_by_the_policies_that_they_were_computed_with() -> None:
    activity = Activity([START + 39 * DAY], Origin())
    settled = START + 42 * DAY

    old = recount(unknown(version=1, settled=settled), activity, POLICIES, CALENDAR)
    new = recount(unknown(version=2, settled=settled), activity, POLICIES, CALENDAR)

    assert (old.lifecycle, new.lifecycle) == (Lifecycle.NEW, Lifecycle.SILENT)


BASE = recount(unknown(), Activity([START, START + DAY], Origin("ads", "web")), POLICIES, CALENDAR)


@pytest.mark.parametrize(
    ("changed", "field", "stored", "recounted"),
    [
        ({"event_count": 3}, "event_count", "3", "2"),
        ({"origin": Origin("mail", "web")}, "channel", "mail", "ads"),
        ({"origin": Origin("ads", "ios")}, "platform", "ios", "web"),
        ({"days": None}, "days", None, "2026-01-05, 2026-01-06"),
        ({"days": ActiveDays(BASE.days.first, 0b111)}, "days", "2026-01-07", None),  # type: ignore[union-attr]
        ({"lifecycle": Lifecycle.ACTIVE}, "lifecycle", "active", "new"),
        ({"deadline": None}, "deadline", "none", "2026-01-12T12:00:00+00:00 active"),
        (
            {"deadline": Deadline(START + 9 * DAY, Lifecycle.SILENT)},
            "deadline",
            "2026-01-14T12:00:00+00:00 silent",
            "2026-01-12T12:00:00+00:00 active",
        ),
        (
            {"steps": ()},
            "transitions",
            None,
            "2026-01-05T12:00:00+00:00 nothing > new (first_activity, policy 1)",
        ),
        (
            {"steps": [*BASE.steps, *BASE.steps]},
            "transitions",
            "2026-01-05T12:00:00+00:00 nothing > new (first_activity, policy 1)",
            None,
        ),
    ],
)
def test_a_difference_names_the_field_and_both_values(
    changed: dict[str, Any], field: str, stored: str | None, recounted: str | None
) -> None:
    [found] = differences(replace(BASE, **changed), BASE)

    assert (found.kind, found.subject, found.field) == ("user", "ada", field)
    assert (found.stored, found.recounted) == (stored, recounted)


def test_a_user_of_whom_the_log_knows_nothing_differs() -> None:
    [found] = differences(BASE, None)

    assert (found.field, found.stored, found.recounted) == ("event_count", "2", "0")


def test_a_very_long_value_is_cut() -> None:
    many = Activity([START + number * 10 * DAY for number in range(100)], Origin())
    long = recount(unknown(), many, POLICIES, CALENDAR)

    assert all(
        len(text) <= 500
        for each in differences(BASE, long)
        for text in (each.stored, each.recounted)
        if text
    )


def test_cells_differ_where_their_counts_do_and_a_missing_one_is_zero() -> None:
    stored: Counts = {("day", "all="): 3, ("day", "channel=ads"): 1, ("day", "channel=old"): 0}
    recounted: Counts = {("day", "all="): 3, ("day", "channel=mail"): 2}

    checked, found = count_differences("active_users", "users", stored, recounted)

    assert checked == 4
    assert [(each.subject, each.stored, each.recounted) for each in found] == [
        ("day channel=ads", "1", "0"),
        ("day channel=mail", "0", "2"),
    ]
