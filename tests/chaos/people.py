"""Who does what: known users, visitors of whom some turn out to be users, and claims of all kinds.

Each era has its own visitors. They are claimed before they do anything, while they do and afterwards,
by nobody, by several, and by each other.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from tests.chaos.sent import Sent

# How many eras apart a user is active: daily, now and then, drifting away and back, once.
STRIDES = (1, 1, 1, 2, 3, 5, 14, 99)
STEPS = ("Viewed", "Added", "Ordered")
VISITORS_OF_AN_ERA = 12
ERAS_OF_A_VISITOR = 3
# The last ones are former ids of others, which also act.
FORMER = 10


@dataclass(frozen=True, slots=True)
class LoadPlan:
    """Who is active when, and what goes wrong on purpose."""

    users: int = 120
    repeated: float = 0.10
    late: float = 0.03
    visits: float = 0.20
    claims: float = 0.01


class People:
    """Draws one event after the other."""

    def __init__(self, draw: random.Random, plan: LoadPlan) -> None:
        self._draw = draw
        self._plan = plan
        self._number = 0
        self._chained: tuple[str, str] | None = None

    def acts(self, era: int, now: datetime) -> Sent:
        """Return what somebody does in this era."""
        kind = self._draw.random()
        if kind < self._plan.claims:
            return self._claims(era, now)
        visits = kind < self._plan.claims + self._plan.visits
        who = self._visitor(era) if visits else self._draw.choice(self._active(era))
        return Sent(self._id(), who, self._at(now), name=self._name(era, visits=visits))

    def _claims(self, era: int, now: datetime) -> Sent:
        target, claimed = self._pair(era)
        kind = self._draw.choice(("identify", "alias"))
        return Sent(self._id(), target, self._at(now), type=kind, claimed=claimed)

    def _pair(self, era: int) -> tuple[str, str]:
        """Return whose id another is said to be: a user's, or, in chains and circles, a visitor's."""
        kind = self._draw.random()
        if self._chained and kind < 0.05:
            return self._chained[1], self._chained[0]
        if kind < 0.20:
            target, claimed = self._draw.sample(self._visitors(era), 2)
            self._chained = target, claimed
            return target, claimed
        target = f"u{self._draw.randrange(self._plan.users - FORMER)}"
        if kind < 0.22:
            return target, f"u{self._plan.users - 1 - self._draw.randrange(FORMER)}"
        # Some of them have not done anything yet.
        return target, self._visitor(era + 1)

    def _visitor(self, era: int) -> str:
        return self._draw.choice(self._visitors(era))

    def _visitors(self, era: int) -> Sequence[str]:
        eras = range(max(0, era - ERAS_OF_A_VISITOR + 1), era + 1)
        return [f"v{each}-{number}" for each in eras for number in range(VISITORS_OF_AN_ERA)]

    def _active(self, era: int) -> Sequence[str]:
        strides = [(user, STRIDES[user % len(STRIDES)]) for user in range(self._plan.users)]
        return [f"u{user}" for user, apart in strides if era % apart == user % apart % 5] or ["u0"]

    def _name(self, era: int, *, visits: bool) -> str:
        """Return a step of the funnels now and then, in two eras out of four: ways of few events."""
        chance = 0.15 if visits else 0.01
        is_step = era % 4 in (0, 1) and self._draw.random() < chance
        return self._draw.choice(STEPS) if is_step else "used"

    def _at(self, now: datetime) -> datetime:
        late = self._draw.random() < self._plan.late
        return now - timedelta(days=self._draw.uniform(1, 20)) if late else now

    def _id(self) -> str:
        self._number += 1
        return f"e{self._number}-{self._draw.getrandbits(64):x}"
