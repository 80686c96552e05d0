"""Stored marks are judged by what they mean: however they were thinned out, whatever the log lost."""

import random
from collections.abc import Sequence
from datetime import timedelta

from hypothesis import assume, given
from hypothesis import strategies as st

from services.segmenter.domain.funnel import Funnel, Step
from services.segmenter.domain.funnel_depth import Room, add, contribution
from services.segmenter.domain.funnel_judging import Measure, right_marks
from services.segmenter.domain.funnel_marks import Mark, Marks

HOUR = 3_600_000_000
FUNNEL = Funnel(1, tuple(Step(name) for name in "abc"), timedelta(hours=30))
WIDE, NARROW = Room(2_000, 1_500), Room(7, 5)


def day_of(at: int) -> int:
    return at // (24 * HOUR)


def mark(hours: int, steps: int, tie: int) -> Mark:
    return Mark(hours * HOUR, steps, tie if steps.bit_count() > 1 else 0)


some_marks = st.lists(
    st.builds(mark, st.integers(0, 40).map(lambda n: 4 * n), st.integers(1, 7), st.integers(0, 3)),
    min_size=1,
    max_size=25,
    unique=True,
)
rooms = st.sampled_from((WIDE, NARROW))
cuts = st.integers(0, 40).map(lambda n: 4 * n * HOUR)


def kept(marks: Sequence[Mark], room: Room) -> Marks:
    """Return what is left of marks that come in threes."""
    stored = Marks()
    for start in range(0, len(marks), 3):
        more = marks[start : start + 3]
        stored = add(stored, more, funnel=FUNNEL, day_of=day_of, room=room).marks
    return stored


def measure(since: int | None = None) -> Measure:
    return Measure(FUNNEL, day_of, since)


@given(some_marks, rooms, rooms, st.randoms(use_true_random=False))
def test_marks_are_right_in_whatever_order_they_came_and_were_thinned_out(
    marks: list[Mark], room: Room, of_log: Room, chance: random.Random
) -> None:
    mixed = list(marks)
    chance.shuffle(mixed)
    stored = kept(mixed, room)

    assert right_marks(stored, kept(sorted(marks), of_log), measure()) is stored


@given(some_marks, rooms, rooms, cuts, st.sets(st.integers(0, 24)))
def test_marks_are_right_whatever_the_log_lost(
    marks: list[Mark], room: Room, of_log: Room, since: int, late: set[int]
) -> None:
    stored = kept(marks, room)
    left = [each for number, each in enumerate(sorted(marks)) if each.at >= since or number in late]

    assert right_marks(stored, kept(left, of_log), measure(since)) is stored


@given(some_marks, cuts, st.data())
def test_a_mark_since_then_that_is_missing_or_too_many_is_mended(
    marks: list[Mark], since: int, data: st.DataObject
) -> None:
    known = [each for each in marks if each.at >= since and each.steps.bit_count() == 1]
    assume(known)
    lost = data.draw(st.sampled_from(known))
    right, logged = kept(marks, WIDE), kept([each for each in marks if each.at >= since], WIDE)
    without = kept([each for each in marks if each != lost], WIDE)

    assert right_marks(without, logged, measure(since)) == right
    assert right_marks(right, kept([*filter(lost.__ne__, logged.marks)], WIDE), measure(since)) == (
        without
    )


def test_more_than_a_truncated_log_of_marks_can_hold_is_let_be_and_more_than_was_done_is_not() -> (
    None
):
    marks = [Mark(number * HOUR, 1) for number in range(20)]
    truncated = kept(marks, NARROW)
    assert truncated.truncated
    too_deep = Marks(truncated.marks, {0: 3}, truncated=True)

    assert right_marks(truncated, kept(marks, WIDE), measure()) is truncated
    right = right_marks(too_deep, kept(marks, WIDE), measure())

    assert contribution(right, funnel=FUNNEL, day_of=day_of)[0] == 1
