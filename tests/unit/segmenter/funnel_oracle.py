"""Funnels by the definition alone: every way to choose events is tried."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import permutations


@dataclass(frozen=True)
class Happened:
    """An event: its instant, the steps it could be (as bits), and who it is."""

    at: int
    steps: int
    event_id: str


def depths(
    events: Iterable[Happened], *, steps: int, window: int, day_of: Callable[[int], int]
) -> dict[int, int]:
    """Return day → how many steps were made by the best choice of different events."""
    found: dict[int, int] = {}
    several = list(set(events))
    for number in range(1, min(steps, len(several)) + 1):
        for chosen in permutations(several, number):
            if _is_way(chosen, window):
                found[day_of(chosen[0].at)] = number
    return found


def cells(depths_of_users: Iterable[Mapping[int, int]]) -> dict[tuple[int, int], int]:
    """Return (day, step) → how many users made at least so many steps."""
    counted: dict[tuple[int, int], int] = {}
    for depths_of_user in depths_of_users:
        for day, depth in depths_of_user.items():
            for step in range(1, depth + 1):
                counted[day, step] = counted.get((day, step), 0) + 1
    return counted


def _is_way(chosen: Sequence[Happened], window: int) -> bool:
    first = chosen[0].at
    instants = [each.at for each in chosen]
    return (
        instants == sorted(instants)
        and instants[-1] <= first + window
        and all(each.steps >> step & 1 for step, each in enumerate(chosen))
    )
