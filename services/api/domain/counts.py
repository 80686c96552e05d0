"""Counted numbers as they are shown: activity, retention and flows, for one group of users each. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum

from services.api.domain.periods import Period

NOBODY = ""  # what a user was who was never seen
OLDEST = {Period.DAY: 400, Period.WEEK: 57}  # ages that are counted


class Dimension(StrEnum):
    """What users are told apart by; `all` does not."""

    ALL = "all"
    CHANNEL = "channel"
    PLATFORM = "platform"


@dataclass(frozen=True, slots=True)
class Group:
    """Which users: of these values of the dimension; '' stands for all users."""

    dimension: Dimension = Dimension.ALL
    values: Sequence[str] = ("",)


@dataclass(frozen=True, slots=True)
class Flow:
    """How many users went from one lifecycle to another."""

    before: str
    after: str
    transitions: int


@dataclass(frozen=True, slots=True)
class Balance:
    """A lifecycle's users at the beginning and the end of a time, and who came and left meanwhile."""

    start: int
    arrived: int
    left: int

    @property
    def end(self) -> int:
        return self.start + self.arrived - self.left


@dataclass(frozen=True, slots=True)
class Slot:
    """An hour or a day: what flowed in it, and what became of each lifecycle."""

    begin: datetime
    flows: Sequence[Flow]
    balance: Mapping[str, Balance]


def population(flows: Iterable[Flow], lifecycles: Iterable[str]) -> dict[str, int]:
    """Return how many users stand where after these flows, when nobody was there before."""
    users = dict.fromkeys(lifecycles, 0)
    for flow in flows:
        users[flow.after] = users.get(flow.after, 0) + flow.transitions
        if flow.before != NOBODY:
            users[flow.before] = users.get(flow.before, 0) - flow.transitions
    return users


def slots(
    begins: Sequence[datetime], flows: Mapping[int, Sequence[Flow]], opening: Mapping[str, int]
) -> list[Slot]:
    """Return the slots one after another, each beginning with what the one before ends with."""
    users = dict(opening)
    found: list[Slot] = []
    for number, begin in enumerate(begins):
        of_slot = flows.get(number, ())
        balance = {
            lifecycle: Balance(
                start,
                sum(flow.transitions for flow in of_slot if flow.after == lifecycle),
                sum(flow.transitions for flow in of_slot if flow.before == lifecycle),
            )
            for lifecycle, start in users.items()
        }
        found.append(Slot(begin, of_slot, balance))
        users = {lifecycle: each.end for lifecycle, each in balance.items()}
    return found


def row_of_ages(
    counted: Mapping[int, int], *, cohort: date, period: Period, today: date, oldest: int
) -> list[int]:
    """Return a cohort's users by age: up to the age that it has today, not beyond."""
    oldest = min(oldest, period.age(cohort, today))
    return [counted.get(age, 0) for age in range(oldest + 1)]
