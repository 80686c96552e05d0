"""How many records a lane takes at once."""

import pytest

from shared.lanes.pace import FEW, FIRST, Pace


def test_fast_batches_double_the_limit_up_to_the_most() -> None:
    pace = Pace(8_000)

    limits = []
    for _ in range(4):
        pace.note_turn(pace.limit, seconds=0.1)
        limits.append(pace.limit)

    assert limits == [2 * FIRST, 4 * FIRST, 8_000, 8_000]


def test_a_slow_batch_brings_the_limit_down_to_what_is_folded_in_good_time() -> None:
    pace = Pace(8_000)

    pace.note_turn(1_000, seconds=5.0)

    assert pace.limit == 100


def test_slow_batches_leave_a_few_records() -> None:
    pace = Pace(8_000)

    for _ in range(20):
        pace.note_turn(pace.limit, seconds=3.0)

    assert pace.limit == FEW


@pytest.mark.parametrize("records", [0, 1, FEW])
def test_a_slow_turn_of_few_records_or_none_says_nothing(records: int) -> None:
    """It swept deadlines, or waited for another lane's rows: live events must not be taken one by one for it."""
    pace = Pace(8_000)

    pace.note_turn(records, seconds=3.0)

    assert pace.limit == FIRST


def test_trouble_leaves_at_least_one_and_slow_turns_no_more_than_it_left() -> None:
    pace = Pace(8_000)

    for _ in range(20):
        pace.note_trouble()
        pace.note_turn(pace.limit, seconds=3.0)

    assert pace.limit == 1


def test_neither_fast_nor_slow_leaves_the_limit() -> None:
    pace = Pace(8_000)

    pace.note_turn(1_000, seconds=0.7)

    assert pace.limit == FIRST


def test_idle_turns_say_nothing_of_how_much_is_fast() -> None:
    pace = Pace(8_000)

    pace.note_turn(0, seconds=0.001)

    assert pace.limit == FIRST


def test_trouble_halves_the_limit() -> None:
    pace = Pace(8_000)

    for _ in range(3):
        pace.note_trouble()

    assert pace.limit == FIRST // 8


def test_the_limit_is_never_more_than_the_most() -> None:
    assert Pace(10).limit == 10
