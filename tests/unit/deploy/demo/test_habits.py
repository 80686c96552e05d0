"""When simulated people come: in order, within the history, and true to their habit."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploy.demo.habits import Habit, visits

UNTIL = datetime(2026, 7, 1, tzinfo=UTC)
DAY = timedelta(days=1)

days = st.floats(0.01, 400)
seeds = st.integers(0, 10_000)


def gaps(found: list[datetime]) -> list[timedelta]:
    return [later - earlier for earlier, later in pairwise(found)]


@given(habit=st.sampled_from(Habit), joined_before=days, seed=seeds)
def test_visits_begin_with_joining_and_come_in_order_until_the_end(
    habit: Habit, joined_before: float, seed: int
) -> None:
    joined = UNTIL - joined_before * DAY

    found = list(visits(habit, joined=joined, until=UNTIL, random=Random(seed)))

    assert found[0] == joined
    assert all(gap > timedelta() for gap in gaps(found))
    assert found[-1] < UNTIL


@pytest.mark.parametrize("habit", Habit)
def test_the_same_chance_makes_the_same_visits(habit: Habit) -> None:
    joined = UNTIL - 100 * DAY

    once, again = (
        list(visits(habit, joined=joined, until=UNTIL, random=Random(7))) for _ in range(2)
    )

    assert once == again


@given(seed=seeds)
def test_regulars_never_leave_long_enough_to_churn(seed: int) -> None:
    joined = UNTIL - 150 * DAY

    for habit in (Habit.DAILY, Habit.WEEKLY):
        found = list(visits(habit, joined=joined, until=UNTIL, random=Random(seed)))
        assert max(gaps([*found, UNTIL])) < 30 * DAY


@given(seed=seeds)
def test_who_drifts_away_comes_ever_more_rarely_and_then_not_at_all(seed: int) -> None:
    joined = UNTIL - 365 * DAY

    found = list(visits(Habit.DRIFTING, joined=joined, until=UNTIL, random=Random(seed)))

    assert gaps(found) == sorted(gaps(found))
    assert UNTIL - found[-1] > 30 * DAY


@given(seed=seeds)
def test_who_comes_back_was_gone_for_more_than_a_month_once(seed: int) -> None:
    joined = UNTIL - 180 * DAY

    found = list(visits(Habit.RETURNING, joined=joined, until=UNTIL, random=Random(seed)))

    assert len([gap for gap in gaps(found) if gap >= 30 * DAY]) == 1


@given(seed=seeds)
def test_who_comes_once_is_gone_within_the_hours(seed: int) -> None:
    joined = UNTIL - 10 * DAY

    found = list(visits(Habit.ONE_TIME, joined=joined, until=UNTIL, random=Random(seed)))

    assert len(found) <= 3
    assert found[-1] - joined < timedelta(hours=2)
