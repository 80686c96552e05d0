"""What a user's events leave behind in a funnel: a set of marks, so that order and repetition are nothing."""

from array import array
from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from hashlib import blake2b
from itertools import groupby
from struct import Struct
from typing import NamedTuple

from services.segmenter.domain.funnel import LARGEST_FUNNEL

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_HEAD = Struct("<II")  # how many floors, how many marks
_FLOOR = Struct("<iB")  # day, depth
_KEY = array("Q").itemsize
_STEPS = (1 << LARGEST_FUNNEL) - 1
_new = (
    tuple.__new__
)  # several times as fast as the named tuple's own, of which a row may hold thousands


class Mark(NamedTuple):
    """An event that is one or more steps: its instant in µs since 1970, and the steps as bits.

    `tie` tells two events of one instant apart, where both could count: who is several steps.
    """

    at: int
    steps: int
    tie: int = 0


@dataclass(frozen=True, slots=True)
class Marks:
    """One user's marks of one funnel, ascending.

    `floors`: day → the depth that was reached by marks that are no longer kept. `truncated`: marks
    were let go that could have mattered; what is counted then is the least that is true.
    """

    marks: tuple[Mark, ...] = ()
    floors: Mapping[int, int] = field(default_factory=dict)
    truncated: bool = False

    def has(self, mark: Mark) -> bool:
        place = bisect_left(self.marks, mark)
        return place < len(self.marks) and self.marks[place] == mark

    def with_(self, more: Iterable[Mark]) -> "Marks":
        fresh = [mark for mark in set(more) if not self.has(mark)]
        return Marks(tuple(sorted((*self.marks, *fresh))), self.floors, self.truncated)

    def union(self, other: "Marks") -> "Marks":
        """Return what both leave behind together, as of one user."""
        floors = dict(self.floors)
        for day, depth in other.floors.items():
            floors[day] = max(depth, floors.get(day, 0))
        marks = tuple(sorted({*self.marks, *other.marks}))
        return Marks(marks, floors, self.truncated or other.truncated)


def instant_of(at: datetime) -> int:
    """Return an instant as marks have it."""
    return (at - _EPOCH) // _MICROSECOND


def moment_of(instant: int) -> datetime:
    """Return the instant that a mark has so."""
    return _EPOCH + instant * _MICROSECOND


def mark_of(at: int, steps: int, *, source: str, event_id: str) -> Mark:
    """Return the mark of an event.

    Of events that are one and the same single step at one instant, one is enough: they need no telling
    apart. By a hash of the id, because the id itself may be long.
    """
    if steps.bit_count() == 1:
        return Mark(at, steps)
    key = f"{len(source)}:{source}:{event_id}".encode("utf-8", "surrogatepass")
    return Mark(at, steps, int.from_bytes(blake2b(key, digest_size=_KEY).digest(), "little"))


def without_copies(marks: Sequence[Mark]) -> tuple[Mark, ...]:
    """Return the marks without those of an instant that have more likes than steps to be.

    The first few by their ties are kept: of any union the same ones, in whatever order it is made.
    """
    return tuple(
        mark
        for (_, steps), likes in groupby(marks, key=lambda mark: mark[:2])
        for mark in list(likes)[: steps.bit_count()]
    )


def to_bytes(marks: Marks) -> bytes:
    """Return the marks as stored: floors, instants with their steps, and ties where there are any."""
    keys = array("Q", [mark.at << LARGEST_FUNNEL | mark.steps for mark in marks.marks])
    ties = array("Q", [mark.tie for mark in marks.marks if mark.steps.bit_count() > 1])
    return b"".join(
        (
            _HEAD.pack(len(marks.floors), len(keys)),
            *(_FLOOR.pack(*floor) for floor in sorted(marks.floors.items())),
            keys.tobytes(),
            ties.tobytes(),
        )
    )


def from_bytes(data: bytes, *, truncated: bool) -> Marks:
    """Return the marks that `to_bytes` wrote."""
    number_of_floors, number = _HEAD.unpack_from(data)
    start = _HEAD.size + number_of_floors * _FLOOR.size
    keys = array("Q", data[start : start + number * _KEY])
    ties = array("Q", data[start + number * _KEY :])
    marks = [_new(Mark, (key >> LARGEST_FUNNEL, key & _STEPS, 0)) for key in keys]
    if ties:
        following = iter(ties)
        marks = [
            Mark(at, steps, next(following)) if steps.bit_count() > 1 else Mark(at, steps)
            for at, steps, _ in marks
        ]
    floors = dict(_FLOOR.iter_unpack(data[_HEAD.size : start])) if number_of_floors else {}
    return Marks(tuple(marks), floors, truncated)
