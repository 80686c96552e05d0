"""Funnels as they are defined: ordered steps, which events are one, and the time to convert in."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

LARGEST_FUNNEL = 10  # steps; a mark keeps them in as many bits

Scalar = str | int | float | bool
Properties = Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Condition:
    """A property of the event that must have this value."""

    property: str
    equals: Scalar

    def holds(self, properties: Properties) -> bool:
        """Compare as JSON does: true is not 1, "1" is not 1, and 1.0 is 1."""
        found = properties.get(self.property)
        if isinstance(found, bool) or isinstance(self.equals, bool):
            return found is self.equals
        return found == self.equals


@dataclass(frozen=True, slots=True)
class Step:
    """What an event must be to count as this step. No type: any type will do."""

    event: str
    type: str | None = None
    conditions: tuple[Condition, ...] = ()


@dataclass(frozen=True, slots=True)
class Funnel:
    """Steps in their order, and the time after the first one in which the others count."""

    funnel_id: int
    steps: tuple[Step, ...]
    window: timedelta

    @property
    def names(self) -> frozenset[str]:
        return frozenset(step.event for step in self.steps)


@dataclass(frozen=True, slots=True)
class _Place:
    """One step of one funnel, as a bit."""

    funnel_id: int
    bit: int
    type: str | None
    conditions: tuple[Condition, ...]


class Funnels:
    """The funnels that count at one moment, by the names of their steps.

    Nearly all events are no step of any funnel: to tell costs one look into a dictionary.
    """

    def __init__(self, funnels: Iterable[Funnel] = ()) -> None:
        self.by_id: Mapping[int, Funnel] = {each.funnel_id: each for each in funnels}
        self._places: dict[str, list[_Place]] = {}
        for funnel in self.by_id.values():
            for index, step in enumerate(funnel.steps):
                place = _Place(funnel.funnel_id, 1 << index, step.type, step.conditions)
                self._places.setdefault(step.event, []).append(place)

    @property
    def names(self) -> Sequence[str]:
        return sorted(self._places)

    def is_step(self, name: str | None) -> bool:
        """Say whether an event of this name may be a step of any funnel."""
        return name in self._places

    def steps_of(
        self, name: str, kind: str, properties: Callable[[], Properties]
    ) -> Mapping[int, int]:
        """Return funnel → the steps that the event is, as bits. Properties are asked for if needed."""
        found: dict[int, int] = {}
        given: Properties | None = None
        for place in self._places.get(name, ()):
            if place.type is not None and place.type != kind:
                continue
            if place.conditions and given is None:
                given = properties()
            if all(each.holds(given or {}) for each in place.conditions):
                found[place.funnel_id] = found.get(place.funnel_id, 0) | place.bit
        return found
