"""The counters' increments add up to what a recount of everything says, whatever the order."""

from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.segmenter.domain.active_days import ActiveDays
from services.segmenter.domain.calendar import Calendar
from services.segmenter.domain.counters import (
    Cells,
    Standing,
    active_cells,
    activity_delta,
    flow_cells,
    flow_delta,
    month_cells,
    retention_cells,
)
from services.segmenter.domain.lifecycle import Step
from services.segmenter.domain.origin import Origin
from shared.vocabulary import Lifecycle, TransitionReason
from tests.unit.segmenter.counting_oracle import Counted, Did, recount

ZONES = ("UTC", "Europe/Berlin", "America/St_Johns", "Australia/Lord_Howe")
START = datetime(2025, 2, 20, tzinfo=UTC)
ORIGINS = (
    Origin(),
    Origin("wechat", "ios"),
    Origin("wechat", "web"),
    Origin("google.com", "web"),
)

zones = st.sampled_from(ZONES)
origins = st.sampled_from(ORIGINS)
# Some close together, some so far apart that ages lie beyond what is counted.
instants = st.one_of(st.integers(0, 20 * 24), st.integers(0, 470 * 24)).map(
    lambda hours: START + timedelta(hours=hours, minutes=17)
)
deeds = st.lists(st.builds(Did, st.sampled_from("abc"), instants, origins), max_size=25)


def counted(cells: Cells) -> Counted:
    """Return the cells as the recount names them."""
    result = Counted()
    for (period, dimension, start, value), (users, new) in active_cells(cells).items():
        key = (period, dimension, date.fromordinal(start), value)
        result.users.update({key: users} if users else {})
        result.new_users.update({key: new} if new else {})
    for (period, dimension, cohort, value, age), users in retention_cells(cells).items():
        result.retention[period, dimension, date.fromordinal(cohort), value, age] = users
    result.flows.update(flow_cells(cells))
    result.months.update(month_cells(flow_cells(cells)))
    return result


class Users:
    """Users moved on by one batch after another, as the fold does."""

    def __init__(self, calendar: Calendar) -> None:
        self.calendar = calendar
        self.cells = Cells()
        self._first: dict[str, tuple[datetime, Origin]] = {}
        self._standing: dict[str, Standing] = {}

    def fold(self, batch: Iterable[Did]) -> None:
        for did in batch:
            first = min(self._first.get(did.user_id, (did.at, did.origin)), (did.at, did.origin))
            before = self._standing.get(did.user_id)
            day = self.calendar.day_of(did.at)
            days = ActiveDays(day) if before is None else before.days.add([day])
            self._first[did.user_id] = first
            after = self._standing[did.user_id] = Standing(days, first[1])
            activity_delta(before, after, self.calendar, self.cells)


@given(zones, deeds)
def test_increments_one_by_one_equal_a_recount_of_everything(
    zone: str, all_deeds: list[Did]
) -> None:
    users = Users(Calendar(ZoneInfo(zone)))

    users.fold(all_deeds)

    assert counted(users.cells) == recount(all_deeds, ZoneInfo(zone))


standings = st.one_of(
    st.none(),
    st.builds(
        Standing,
        st.sets(st.integers(739_000, 739_450), min_size=1, max_size=40).map(ActiveDays.of),
        origins,
    ),
)


@given(zones, standings, standings)
def test_a_delta_is_the_difference_of_the_whole_contributions(
    zone: str, before: Standing | None, after: Standing | None
) -> None:
    calendar = Calendar(ZoneInfo(zone))

    moved = activity_delta(None, before, calendar)
    moved.merge(activity_delta(before, after, calendar))

    assert counted(moved) == counted(activity_delta(None, after, calendar))


@given(standings, st.sets(st.integers(739_000, 739_450), max_size=40))
def test_more_days_of_a_user_change_only_what_they_add(
    before: Standing | None, days: set[int]
) -> None:
    if before is None:
        return
    calendar = Calendar(UTC)
    after = before._replace(days=before.days.add(days))

    moved = activity_delta(None, before, calendar)
    moved.merge(activity_delta(before, after, calendar))

    assert counted(moved) == counted(activity_delta(None, after, calendar))


def test_a_user_who_was_active_that_day_already_changes_no_cell() -> None:
    standing = Standing(ActiveDays.of([739_000, 739_003]), Origin())
    same = Standing(standing.days.add([739_003]), Origin())

    delta = activity_delta(standing, same, Calendar(UTC))

    assert not delta.active
    assert not delta.retained


def test_another_day_of_the_same_week_is_new_to_the_day_alone() -> None:
    monday = date(2026, 11, 23).toordinal()
    before = Standing(ActiveDays(monday), Origin())

    delta = activity_delta(
        before, before._replace(days=before.days.add([monday + 2])), Calendar(UTC)
    )

    assert active_cells(delta) == {
        ("day", "all", monday + 2, ""): (1, 0),
        ("day", "channel", monday + 2, "unknown"): (1, 0),
        ("day", "platform", monday + 2, "unknown"): (1, 0),
    }


@pytest.mark.parametrize(("days", "counts"), [(400, True), (401, False)])
def test_the_oldest_age_in_days_is_400(days: int, *, counts: bool) -> None:
    standing = Standing(ActiveDays.of([739_000, 739_000 + days]), Origin())

    cells = retention_cells(activity_delta(None, standing, Calendar(UTC)))

    assert (("day", "all", 739_000, "", days) in cells) is counts


@pytest.mark.parametrize(("weeks", "counts"), [(57, True), (58, False)])
def test_the_oldest_age_in_weeks_is_57(weeks: int, *, counts: bool) -> None:
    monday = Calendar.week_of(739_000)
    standing = Standing(ActiveDays.of([monday, monday + 7 * weeks]), Origin())

    cells = retention_cells(activity_delta(None, standing, Calendar(UTC)))

    assert (("week", "all", monday, "", weeks) in cells) is counts


LIFECYCLES = tuple(Lifecycle)
steps = st.builds(
    lambda at, before, after: Step(at, before, after, TransitionReason.TIME_PASSED, 1),
    instants,
    st.one_of(st.none(), st.sampled_from(LIFECYCLES)),
    st.sampled_from(LIFECYCLES),
)


@given(zones, origins, st.lists(steps, max_size=8), st.lists(steps, max_size=8))
def test_flows_are_those_of_the_steps_that_stand(
    zone: str, origin: Origin, stood: Sequence[Step], stand: Sequence[Step]
) -> None:
    calendar = Calendar(ZoneInfo(zone))

    cells = flow_delta((), stood, origin, calendar)
    flow_delta(stood, stand, origin, calendar, into=cells)

    recounted = recount([Did("u", START, origin)], ZoneInfo(zone), {"u": stand})
    assert flow_cells(cells) == recounted.flows
    assert month_cells(flow_cells(cells)) == recounted.months


@given(st.lists(steps, max_size=8))
def test_a_user_of_another_origin_takes_their_flows_along(stand: Sequence[Step]) -> None:
    calendar = Calendar(UTC)
    old, new = Origin("direct", "ios"), Origin("wechat", "web")

    cells = flow_delta((), stand, old, calendar)
    flow_delta(stand, (), old, calendar, into=cells)
    flow_delta((), stand, new, calendar, into=cells)

    assert flow_cells(cells) == flow_cells(flow_delta((), stand, new, calendar))


def test_what_cancels_out_is_no_cell() -> None:
    standing = Standing(ActiveDays(739_000), Origin("wechat", "ios"))
    calendar = Calendar(UTC)

    cells = activity_delta(None, standing, calendar)
    cells.merge(activity_delta(standing, None, calendar))

    assert active_cells(cells) == {}
    assert retention_cells(cells) == {}
