"""What thresholds may be, and which of them is to blame where they may not."""

from datetime import timedelta

import pytest

from shared.thresholds import LONGEST, InvalidThresholds, Thresholds

DAY = timedelta(days=1)
MICROSECOND = timedelta(microseconds=1)
GIVEN = {
    "new_for": 7 * DAY,
    "silent_after": 7 * DAY,
    "churned_after": 30 * DAY,
    "returned_for": 7 * DAY,
}


@pytest.mark.parametrize("field", GIVEN)
@pytest.mark.parametrize(
    ("duration", "reason"),
    [
        (timedelta(), "must be positive"),
        (-MICROSECOND, "must be positive"),
        (LONGEST + MICROSECOND, "must not be longer than 3,650 days"),
    ],
)
def test_a_duration_out_of_range_is_named(field: str, duration: timedelta, reason: str) -> None:
    with pytest.raises(InvalidThresholds) as refused:
        Thresholds(**(GIVEN | {field: duration}))

    assert (refused.value.field, refused.value.reason) == (field, reason)


@pytest.mark.parametrize("churned_after", [MICROSECOND, 7 * DAY - MICROSECOND, 7 * DAY])
def test_a_churn_comes_after_the_silence(churned_after: timedelta) -> None:
    with pytest.raises(InvalidThresholds, match="churned_after must be longer than silent_after"):
        Thresholds(**(GIVEN | {"churned_after": churned_after}))


def test_the_shortest_and_the_longest_are_taken() -> None:
    shortest = Thresholds(MICROSECOND, MICROSECOND, 2 * MICROSECOND, MICROSECOND)
    longest = Thresholds(LONGEST, LONGEST - MICROSECOND, LONGEST, LONGEST)

    assert shortest != longest
