"""Months of history, person by person: what each would have sent until the end of it."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from deploy.demo.actions import Event, Visitor
from deploy.demo.habits import visits
from deploy.demo.people import Cast, Person
from deploy.demo.truth import Truth

MONTH = timedelta(days=30)


@dataclass(frozen=True, slots=True)
class History:
    """The past of a cast of `people`, from `months` before `until`."""

    cast: Cast
    people: int
    until: datetime
    months: int

    def joined(self, person: Person) -> datetime:
        """Return when a person came: evenly spread over the whole time."""
        return self.until - self.months * MONTH * (1 - person.joined)

    def visits(self, person: Person) -> Iterator[datetime]:
        """Yield a person's visits in order."""
        return visits(
            person.habit,
            joined=self.joined(person),
            until=self.until,
            random=self.cast.random(person.number, "visits"),
        )

    def events(self, number: int, truth: Truth) -> list[Event]:
        """Return all that one person sent, in order, and tell the truth of it.

        One person after the other, rather than day after day for all: every event is months old
        when it arrives, so that the time which passed since counts at once. Told day by day, each
        event would take back the churn that the one before it led to: right in the end, and slow.
        """
        person = self.cast.person(number)
        visitor = Visitor(person, self.cast.random(number, "deeds"))
        events: list[Event] = []
        for visit in self.visits(person):
            events.extend(visitor.visit(visit))
        truth.tell_all(person.user_id, map(moment, events))
        return events


def moment(event: Event) -> datetime:
    """Return when an event happened, as it says."""
    return datetime.fromisoformat(event["timestamp"])
