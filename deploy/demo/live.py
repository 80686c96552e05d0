"""Live traffic: whom it brings at each step. Mostly regulars, now and then someone new or long gone."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from random import Random

from deploy.demo.actions import Event, Visitor
from deploy.demo.history import moment
from deploy.demo.people import Cast
from deploy.demo.truth import Truth

NEWCOMER_SHARE = 0.04
COMEBACK_SHARE = 0.04
_TRIES = 30
_QUIET = ("silent", "churned")


@dataclass(slots=True)
class Crowd:
    """The people of a history, as they go on; `people` grows with every newcomer."""

    cast: Cast
    people: int
    truth: Truth
    random: Random
    _visits: dict[int, int] = field(default_factory=dict)

    def visit(self, now: datetime) -> Iterator[Event]:
        """Yield what the next visitor sends now, and tell the truth of it."""
        number = self._next_visitor(now)
        visitor = self._visitor(number)
        for event in visitor.visit(now):
            self.truth.tell(visitor.person.user_id, moment(event))
            yield event
        self._visits[number] = visitor.sent

    def _visitor(self, number: int) -> Visitor:
        person = self.cast.person(number)
        known = person.user_id in self.truth.stories
        return Visitor(person, self.random, sent=self._visits.get(number, LIVE_IDS if known else 0))

    def _next_visitor(self, now: datetime) -> int:
        chance = self.random.random()
        if chance < NEWCOMER_SHARE:
            self.people += 1
            return self.people - 1
        return self._someone(now, wanted_quiet=chance < NEWCOMER_SHARE + COMEBACK_SHARE)

    def _someone(self, now: datetime, *, wanted_quiet: bool) -> int:
        """Return somebody who is quiet, or who is not, if a few tries find one."""
        number = 0
        for _ in range(_TRIES):
            number = self.random.randrange(self.people)
            lifecycle = self.truth.lifecycle(self.cast.user_id(number), now)
            if (lifecycle in _QUIET) == wanted_quiet:
                break
        return number


# Far above the count of events that anyone's history holds.
LIVE_IDS = 1_000_000
