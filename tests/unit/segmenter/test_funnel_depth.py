"""The depth of a user in a funnel, against every way to choose events."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.segmenter.domain.funnel import Funnel, Step
from services.segmenter.domain.funnel_depth import Room, add, contribution, difference, thinned
from services.segmenter.domain.funnel_marks import Mark, Marks, from_bytes, mark_of, to_bytes
from tests.unit.segmenter.funnel_oracle import Happened, depths

WINDOW = 5  # µs: instants and days are small numbers here, so that they meet
DAY = 4
A, B, C = 1, 2, 4

happenings = st.builds(
    Happened, st.integers(0, 14), st.integers(1, 7), st.sampled_from(["x", "y", "z"])
)
histories = st.lists(happenings, max_size=6)


def funnel(steps: int = 3) -> Funnel:
    return Funnel(1, (Step("any"),) * steps, timedelta(microseconds=WINDOW))


def day_of(at: int) -> int:
    return at // DAY


def marks_of(events: Iterable[Happened]) -> list[Mark]:
    return [
        mark_of(each.at, each.steps, source="web", event_id=f"{each.event_id}{each.at}{each.steps}")
        for each in events
    ]


def expected(events: Iterable[Happened], steps: int = 3) -> dict[int, int]:
    return depths(events, steps=steps, window=WINDOW, day_of=day_of)


def depths_of(*marks: Mark, steps: int = 3) -> dict[int, int]:
    return contribution(Marks().with_(marks), funnel=funnel(steps), day_of=day_of)


@given(histories)
def test_the_depth_of_each_day_is_that_of_the_best_choice_of_events(events: list[Happened]) -> None:
    assert depths_of(*marks_of(events)) == expected(events)


@given(histories, st.lists(st.integers(0, 3), min_size=6, max_size=6))
def test_any_order_any_batches_and_any_repetition_count_the_same(
    events: list[Happened], batches: list[int]
) -> None:
    marks, counted = Marks(), Counter[tuple[int, int]]()
    pairs = list(zip(batches, events, strict=False))
    for number in (*range(4), 2, 0):  # two of the batches come twice
        added = add(
            marks,
            marks_of(event for batch, event in pairs if batch == number),
            funnel=funnel(),
            day_of=day_of,
        )
        marks = added.marks
        counted.update(added.delta)

    assert {cell: users for cell, users in counted.items() if users} == difference(
        {}, expected(events)
    )


@given(histories, histories)
def test_two_users_who_turn_out_to_be_one_count_as_if_they_had_always_been(
    some: list[Happened], others: list[Happened]
) -> None:
    joined = Marks().with_(marks_of(some)).union(Marks().with_(marks_of(others)))

    assert contribution(joined, funnel=funnel(), day_of=day_of) == depths_of(
        *marks_of([*some, *others])
    )


def test_what_is_known_of_days_whose_marks_are_gone_outlasts_a_merge() -> None:
    joined = Marks((), {0: 2, 1: 1}).union(Marks((), {0: 1, 1: 3, 2: 1}, truncated=True))

    assert joined == Marks((), {0: 2, 1: 3, 2: 1}, truncated=True)


@given(st.lists(histories, min_size=1, max_size=4), st.integers(1, 3))
def test_marks_that_can_no_longer_matter_go_without_a_trace(
    batches: list[list[Happened]], steps: int
) -> None:
    """Room for none, and so much left that none goes for its age: only what is provably spent does."""
    within = [[replace(each, steps=min(each.steps, 2**steps - 1)) for each in b] for b in batches]
    marks, counted = Marks(), Counter[tuple[int, int]]()
    for batch in within:
        added = add(
            marks,
            marks_of(batch),
            funnel=funnel(steps),
            day_of=day_of,
            room=Room(limit=2, kept=10_000),
        )
        marks = added.marks
        counted.update(added.delta)

    everything = depths_of(*marks_of(each for batch in within for each in batch), steps=steps)
    assert contribution(marks, funnel=funnel(steps), day_of=day_of) == everything
    assert {cell: users for cell, users in counted.items() if users} == difference({}, everything)


def test_what_serves_only_days_that_are_through_is_let_go() -> None:
    events = [Happened(0, A, "a"), Happened(1, B, "b"), *(Happened(2, A, "x") for _ in range(3))]
    marks = Marks().with_(marks_of(events))

    kept = thinned(marks, funnel=funnel(2), day_of=day_of, room=Room(limit=0, kept=100))

    assert kept == Marks((), {0: 2}, truncated=False)


def test_a_day_that_is_through_stays_so_when_its_marks_are_gone() -> None:
    through = Marks((), {0: 2})

    added = add(through, marks_of([Happened(3, A, "late")]), funnel=funnel(2), day_of=day_of)

    assert added.delta == {}


@given(st.lists(happenings, max_size=20))
def test_where_the_oldest_must_go_what_was_counted_stays(events: list[Happened]) -> None:
    marks = Marks().with_(marks_of(events))

    kept = thinned(marks, funnel=funnel(), day_of=day_of, room=Room(limit=4, kept=3))

    assert len(kept.marks) <= 4
    assert contribution(kept, funnel=funnel(), day_of=day_of) == contribution(
        marks, funnel=funnel(), day_of=day_of
    )


@pytest.mark.parametrize("last", [B, C])
def test_a_million_first_steps_of_one_day_are_kept_small_and_the_last_one_still_converts(
    last: int,
) -> None:
    """The newest are kept: what comes next is most likely to follow them."""
    year = Funnel(1, (Step("any"),) * 3, timedelta(hours=1))
    second = 1_000_000
    marks = Marks()
    for batch in range(100):
        more = [Mark((batch * 1_000 + number) * second, A) for number in range(1_000)]
        marks = add(marks, more, funnel=year, day_of=lambda at: at // (86_400 * second)).marks
    added = add(
        marks,
        [Mark(100_000 * second, last)],
        funnel=year,
        day_of=lambda at: at // (86_400 * second),
    )

    assert len(added.marks.marks) <= 2_001
    assert added.marks.truncated
    assert added.delta == ({(1, 2): 1} if last == B else {})


@given(
    events=histories,
    floors=st.dictionaries(st.integers(0, 90_000), st.integers(1, 10)),
    truncated=st.booleans(),
)
def test_marks_are_read_back_as_they_were_written(
    events: list[Happened], floors: dict[int, int], *, truncated: bool
) -> None:
    marks = Marks(tuple(sorted(set(marks_of(events)))), floors, truncated)

    assert from_bytes(to_bytes(marks), truncated=truncated) == marks


def test_an_instant_of_the_latest_year_fits_beside_ten_steps() -> None:
    latest = Marks(
        (Mark(7_258_118_399_999_999, 1 << 9), Mark(7_258_118_399_999_999, 1023, 2**64 - 1))
    )

    assert from_bytes(to_bytes(latest), truncated=False) == latest


ROWS: Sequence[tuple[str, list[tuple[int, int]], dict[int, int]]] = [
    ("in order", [(0, A), (1, B), (2, C)], {0: 3}),
    ("a step back is no step", [(0, B), (1, A), (2, C)], {0: 1}),
    ("a step may not be left out", [(0, A), (2, C)], {0: 1}),
    ("the window's last instant counts", [(0, A), (1, B), (5, C)], {0: 3}),
    ("and the next one does not", [(0, A), (1, B), (6, C)], {0: 2}),
    ("a later start of the day may do better", [(0, A), (2, A), (3, B), (7, C)], {0: 3}),
    ("each day of a start counts by itself", [(3, A), (4, A), (5, B), (6, C)], {0: 3, 1: 3}),
    ("events of one instant follow in the order of the steps", [(1, C), (1, B), (1, A)], {0: 3}),
    ("one event is one step only", [(0, A | B), (1, C)], {0: 1}),
    ("but of several, each is another one", [(0, A | B), (1, A | B), (1, C)], {0: 3}),
    ("events that are alike, at one instant, are several", [(0, A | B), (0, A | B)], {0: 2}),
    ("without a first step nobody enters", [(0, B), (1, C)], {}),
]


@pytest.mark.parametrize(("rule", "history", "depth"), ROWS)
def test_a_rule_of_the_depth(
    rule: str, history: list[tuple[int, int]], depth: dict[int, int]
) -> None:
    events = [Happened(at, steps, str(index)) for index, (at, steps) in enumerate(history)]

    assert depths_of(*marks_of(events)) == depth, rule
    assert expected(events) == depth, rule
