"""Whether a user's stored marks of a funnel are what the event log says, which may have lost its first days."""

from dataclasses import dataclass

from services.segmenter.domain.funnel import Funnel
from services.segmenter.domain.funnel_depth import (
    DayOf,
    Depths,
    contribution,
    what_matters,
)
from services.segmenter.domain.funnel_marks import Marks, without_copies


@dataclass(frozen=True, slots=True)
class Measure:
    """How marks are judged: by one funnel's rules, in the product's days.

    `since`, in µs since 1970: of what happened from then on the log holds all; None: of everything.
    """

    funnel: Funnel
    day_of: DayOf
    since: int | None = None


def right_marks(stored: Marks, logged: Marks, measure: Measure) -> Marks:
    """Return the marks that should be stored; the stored ones themselves where they are right.

    What happened before the log holds all of it is taken as it is stored, with what the log still has of it.
    """
    right = logged
    if measure.since is not None:
        right = _lost(stored, measure.since, measure.day_of).union(logged)
    return stored if _are_alike(stored, right, measure) else right


def _lost(stored: Marks, since: int, day_of: DayOf) -> Marks:
    """Return what is stored of the time that the log no longer holds whole."""
    last = day_of(since)
    return Marks(
        tuple(mark for mark in stored.marks if mark.at < since),
        {day: depth for day, depth in stored.floors.items() if day <= last},
        stored.truncated,
    )


def _are_alike(stored: Marks, right: Marks, measure: Measure) -> bool:
    if not any((stored.floors, stored.truncated, right.floors, right.truncated)):
        return without_copies(stored.marks) == without_copies(right.marks)
    if not (stored.truncated or right.truncated):
        return _what_matters(stored, measure) == _what_matters(right, measure)
    return right.truncated or _is_no_more(_depths(stored, measure), _depths(right, measure))


def _is_no_more(depths: Depths, whole: Depths) -> bool:
    """Say whether depths are the least that is true: which marks were let go depends on the order they came in."""
    return all(depth <= whole.get(day, 0) for day, depth in depths.items())


def _what_matters(marks: Marks, measure: Measure) -> object:
    return what_matters(marks, funnel=measure.funnel, day_of=measure.day_of)


def _depths(marks: Marks, measure: Measure) -> Depths:
    return contribution(marks, funnel=measure.funnel, day_of=measure.day_of)
