"""Active days are a set: whatever the order, the same days."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.segmenter.domain.active_days import ActiveDays

days = st.sets(st.integers(739_000, 740_500), min_size=1)


@given(days)
def test_the_days_come_back_in_their_order(given_days: set[int]) -> None:
    active = ActiveDays.of(given_days)

    assert list(active) == sorted(given_days)
    assert (active.first, active.last) == (min(given_days), max(given_days))
    assert len(active) == len(given_days)


@given(days, st.integers(738_990, 740_510))
def test_a_day_is_in_them_if_it_was_given(given_days: set[int], day: int) -> None:
    assert (day in ActiveDays.of(given_days)) == (day in given_days)


@given(days, st.lists(st.integers(739_000, 740_500)))
def test_days_are_added_in_any_order(given_days: set[int], more: list[int]) -> None:
    active = ActiveDays.of(given_days)

    assert active.add(more) == active.add(reversed(more)) == ActiveDays.of(given_days | set(more))


@given(days)
def test_known_days_change_nothing(given_days: set[int]) -> None:
    active = ActiveDays.of(given_days)

    assert active.add(given_days) is active


@given(days, days)
def test_a_union_has_the_days_of_both(left: set[int], right: set[int]) -> None:
    assert ActiveDays.of(left).union(ActiveDays.of(right)) == ActiveDays.of(left | right)


@given(days)
def test_they_come_back_from_their_bytes(given_days: set[int]) -> None:
    active = ActiveDays.of(given_days)

    assert ActiveDays.from_bytes(active.first, active.to_bytes()) == active


def test_a_year_fits_into_46_bytes() -> None:
    assert len(ActiveDays.of(range(739_000, 739_365)).to_bytes()) == 46


@pytest.mark.parametrize("bits", [0, 0b10])
def test_days_without_their_first_are_refused(bits: int) -> None:
    with pytest.raises(ValueError, match="first day"):
        ActiveDays(739_000, bits)


def test_no_days_are_refused() -> None:
    with pytest.raises(ValueError, match="empty"):
        ActiveDays.of([])
