"""Who stands where follows from what flowed: start, plus what came, less what left, is the end."""

from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from services.api.domain.counts import Flow, population, row_of_ages, slots
from services.api.domain.periods import Period

LIFECYCLES = ("new", "active", "silent")
BEGINS = [datetime(2026, 3, 1, tzinfo=UTC) + number * timedelta(hours=1) for number in range(4)]

flows = st.lists(
    st.builds(
        Flow,
        st.sampled_from(["", *LIFECYCLES]),
        st.sampled_from(LIFECYCLES),
        st.integers(-3, 9),
    ),
    max_size=6,
)


@given(flows, st.dictionaries(st.integers(0, 3), flows))
def test_every_slot_balances_and_begins_with_the_end_of_the_one_before(
    earlier: list[Flow], by_slot: Mapping[int, list[Flow]]
) -> None:
    found = slots(BEGINS, by_slot, population(earlier, LIFECYCLES))

    assert [each.begin for each in found] == BEGINS
    for before, after in pairwise(found):
        for lifecycle in LIFECYCLES:
            assert before.balance[lifecycle].end == after.balance[lifecycle].start


@given(flows, st.dictionaries(st.integers(0, 3), flows))
def test_the_last_end_is_the_population_of_all_that_flowed(
    earlier: list[Flow], by_slot: Mapping[int, list[Flow]]
) -> None:
    everything = [*earlier, *(flow for of_slot in by_slot.values() for flow in of_slot)]

    found = slots(BEGINS, by_slot, population(earlier, LIFECYCLES))

    ends = {lifecycle: each.end for lifecycle, each in found[-1].balance.items()}
    assert ends == population(everything, LIFECYCLES)


@given(st.lists(st.sampled_from(LIFECYCLES), min_size=1, max_size=8))
def test_a_user_stands_where_their_last_step_led(steps: list[str]) -> None:
    way = [Flow(before, after, 1) for before, after in pairwise(["", *steps])]

    users = population(way, LIFECYCLES)

    assert users == {each: int(each == steps[-1]) for each in LIFECYCLES}


def test_a_row_of_ages_ends_with_today_or_the_oldest_age_that_is_asked_for() -> None:
    counted = {0: 5, 2: 3, 9: 1}
    cohort, now = date(2026, 3, 1), date(2026, 3, 4)

    def row(oldest: int) -> list[int]:
        return row_of_ages(counted, cohort=cohort, period=Period.DAY, today=now, oldest=oldest)

    assert row(30) == [5, 0, 3, 0]
    assert row(1) == [5, 0]
