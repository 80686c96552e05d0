"""How deep a user got into a funnel on each day, from the marks alone; and how much of it is kept.

A user enters on the day of a first step. The depth of a day is the largest k for which there are k
different events, one for each of the first k steps, of ascending instants (equal ones count as ascending),
the first on that day and the last no later than the window after it.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta

from services.segmenter.domain.funnel import LARGEST_FUNNEL, Funnel
from services.segmenter.domain.funnel_marks import Mark, Marks, without_copies

_MICROSECOND = timedelta(microseconds=1)
# No local day is longer: some zones skip or repeat a whole one where they move across the date line.
_LONGEST_DAY = timedelta(days=2) // _MICROSECOND

# The steps of each combination of them.
_BITS = tuple(
    tuple(step for step in range(LARGEST_FUNNEL) if steps >> step & 1)
    for steps in range(1 << LARGEST_FUNNEL)
)

DayOf = Callable[[int], int]  # an instant in µs since 1970 → the day in the product's time zone
Depths = dict[int, int]  # day → how deep the user got, of the days on which they entered
Cell = tuple[int, int]  # day, step


@dataclass(frozen=True, slots=True)
class Room:
    """Over how many marks a user's are thinned out, and how many may be left.

    Far fewer: thinning looks at all of them, so it must not come again with the next one.
    """

    limit: int = 2_000
    kept: int = 1_500


ROOM = Room()


@dataclass(frozen=True, slots=True)
class Added:
    """What marks came to be, and what that means for the counts: a cell for each day and step."""

    marks: Marks
    delta: Mapping[Cell, int]


def add(
    marks: Marks, more: Iterable[Mark], *, funnel: Funnel, day_of: DayOf, room: Room = ROOM
) -> Added:
    """Return the marks with more of them. Those that are known already change nothing."""
    fresh = sorted(mark for mark in set(more) if not marks.has(mark))
    if not fresh:
        return Added(marks, {})
    window = funnel.window // _MICROSECOND
    first, last = max(0, fresh[0].at - window), fresh[-1].at
    days = range(day_of(first), day_of(last) + 1)
    # The days that may change, and all that counts on them.
    near = _between(marks, first - _LONGEST_DAY, last + _LONGEST_DAY + window)
    delta = difference(
        _depths(near, funnel, day_of, days), _depths(near.with_(fresh), funnel, day_of, days)
    )
    return Added(thinned(marks.with_(fresh), funnel=funnel, day_of=day_of, room=room), delta)


def contribution(marks: Marks, *, funnel: Funnel, day_of: DayOf) -> Depths:
    """Return how deep the user got on each day."""
    return _depths(marks, funnel, day_of, None)


def difference(before: Mapping[int, int], after: Mapping[int, int]) -> dict[Cell, int]:
    """Return what to add to the cells so that they count `after` in place of `before`."""
    delta: dict[Cell, int] = {}
    for day in before.keys() | after.keys():
        low, high = before.get(day, 0), after.get(day, 0)
        for step in range(min(low, high), max(low, high)):
            delta[day, step + 1] = 1 if high > low else -1
    return delta


def thinned(marks: Marks, *, funnel: Funnel, day_of: DayOf, room: Room = ROOM) -> Marks:
    """Return the marks, fewer where they are too many, with the same depths.

    First go those that can't matter any more, whatever comes: likes of one instant, and what serves
    only days on which the user already got through the whole funnel. Where that is not enough, the oldest
    go too, and the marks say that they were truncated.
    """
    if len(marks.marks) <= room.limit:
        return marks
    kept = replace(marks, marks=without_copies(marks.marks))
    if len(kept.marks) > room.limit:
        kept = _without_spent(kept, funnel, day_of)
    if len(kept.marks) > room.kept:
        kept = _without_oldest(kept, funnel, day_of, room.kept)
    return kept


def what_matters(marks: Marks, *, funnel: Funnel, day_of: DayOf) -> tuple[tuple[Mark, ...], Depths]:
    """Return the marks that may still matter, and the depths: the same whether they were thinned out or not.

    But for marks that were truncated.
    """
    kept = _without_spent(replace(marks, marks=without_copies(marks.marks)), funnel, day_of)
    return kept.marks, contribution(kept, funnel=funnel, day_of=day_of)


def _without_spent(marks: Marks, funnel: Funnel, day_of: DayOf) -> Marks:
    depths = contribution(marks, funnel=funnel, day_of=day_of)
    whole = len(funnel.steps)
    full = {day for day, depth in depths.items() if depth == whole}
    window = funnel.window // _MICROSECOND

    def matters(mark: Mark) -> bool:
        day = day_of(mark.at)
        if mark.steps == 1:  # the first step alone serves its own day alone
            return day not in full
        return any(each not in full for each in range(day_of(max(0, mark.at - window)), day + 1))

    kept = tuple(mark for mark in marks.marks if matters(mark))
    return replace(marks, marks=kept, floors={**marks.floors, **dict.fromkeys(full, whole)})


def _without_oldest(marks: Marks, funnel: Funnel, day_of: DayOf, number: int) -> Marks:
    depths = contribution(marks, funnel=funnel, day_of=day_of)
    last = day_of(marks.marks[-number - 1].at)
    floors = {day: depth for day, depth in depths.items() if day <= last}
    return Marks(marks.marks[-number:], {**marks.floors, **floors}, truncated=True)


def _between(marks: Marks, first: int, last: int) -> Marks:
    """Return the marks of these instants alone."""
    start, end = bisect_left(marks.marks, (first,)), bisect_left(marks.marks, (last + 1,))
    return replace(marks, marks=marks.marks[start:end])


def _depths(marks: Marks, funnel: Funnel, day_of: DayOf, days: range | None) -> Depths:
    """Return the depths of the days, all where none are named."""
    depths = {day: low for day, low in marks.floors.items() if days is None or day in days}
    if not marks.marks:
        return depths
    whole = len(funnel.steps)
    paths = _Paths(marks.marks, whole, funnel.window // _MICROSECOND)
    for start in paths.instants[0]:
        day = day_of(start)
        known = depths.get(day, 0)
        if known < whole and (days is None or day in days):
            depths[day] = max(known, paths.depth_from(start))
    return depths


class _Paths:
    """Ways through the steps. From a start, the earliest next event is never a worse choice."""

    def __init__(self, marks: Sequence[Mark], steps: int, window: int) -> None:
        self._steps = steps
        self._window = window
        self.instants: list[list[int]] = [[] for _ in range(steps)]
        self._crowds: dict[int, list[int]] = {}  # instants of several events → the steps of each
        last_at = last_steps = -1
        for at, of_event, _ in marks:
            if at == last_at:
                self._join(at, last_steps, of_event)
                continue
            last_at, last_steps = at, of_event
            for step in _BITS[of_event]:
                self.instants[step].append(at)

    def _join(self, at: int, first: int, of_event: int) -> None:
        """Take in another event of the same instant."""
        self._crowds.setdefault(at, [first]).append(of_event)
        for step in _BITS[of_event]:
            instants = self.instants[step]
            if not instants or instants[-1] != at:
                instants.append(at)

    def depth_from(self, start: int) -> int:
        """Return how many steps can be made from a first one at this instant."""
        at, depth = start, self._depth_after(start, 0)
        while depth < self._steps:
            following = self.instants[depth]
            index = bisect_right(following, at)
            if index == len(following) or following[index] > start + self._window:
                return depth
            at = following[index]
            depth = self._depth_after(at, depth)
        return depth

    def _depth_after(self, at: int, depth: int) -> int:
        """Return the depth after the events of an instant, one of which is the next step."""
        crowd = self._crowds.get(at)
        if crowd is None:
            return depth + 1
        taken: dict[int, int] = {}
        while depth < self._steps and _takes(crowd, depth, taken, set()):
            depth += 1
        return depth


def _takes(crowd: Sequence[int], step: int, taken: dict[int, int], asked: set[int]) -> bool:
    """Find an event for the step, moving others on where they can be another: each is one step only."""
    for index, steps in enumerate(crowd):
        if not steps >> step & 1 or index in asked:
            continue
        asked.add(index)
        if index not in taken or _takes(crowd, taken[index], taken, asked):
            taken[index] = step
            return True
    return False
