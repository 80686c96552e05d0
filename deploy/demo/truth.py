"""What is true of the simulated people, by the demo's own account: it shares no code with Ebbtide.

A person's story is kept as they act; where they stand follows from three instants of it.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

LIFECYCLES = ("new", "active", "silent", "churned", "returned")

# The policy that a new system starts with.
NEW_FOR = timedelta(days=7)
SILENT_AFTER = timedelta(days=7)
CHURNED_AFTER = timedelta(days=30)
RETURNED_FOR = timedelta(days=7)


@dataclass(slots=True)
class Story:
    """One person's activity so far; instants are told in order."""

    first: datetime
    last: datetime
    came_back: datetime | None = None

    def tell(self, at: datetime) -> None:
        """Take in that the person did something at `at`."""
        if at - self.last >= CHURNED_AFTER:
            self.came_back = at
        self.last = max(self.last, at)

    def lifecycle(self, now: datetime) -> str:
        """Return where the person stands at `now`, which is not before their last activity."""
        quiet = now - self.last
        if quiet >= SILENT_AFTER:
            return "churned" if quiet >= CHURNED_AFTER else "silent"
        if self.came_back is not None and now < self.came_back + RETURNED_FOR:
            return "returned"
        return "new" if now < self.first + NEW_FOR else "active"


@dataclass(slots=True)
class Truth:
    """Everybody's story, by user id."""

    stories: dict[str, Story] = field(default_factory=dict)

    def tell(self, user_id: str, at: datetime) -> None:
        """Take in that someone did something; each one's instants come in order."""
        story = self.stories.get(user_id)
        if story is None:
            self.stories[user_id] = Story(at, at)
        else:
            story.tell(at)

    def tell_all(self, user_id: str, instants: Iterable[datetime]) -> None:
        for at in instants:
            self.tell(user_id, at)

    def lifecycle(self, user_id: str, now: datetime) -> str:
        return self.stories[user_id].lifecycle(now)

    def counts(self, now: datetime) -> dict[str, int]:
        """Return how many people stand where, every lifecycle named."""
        counted = Counter(story.lifecycle(now) for story in self.stories.values())
        return {lifecycle: counted[lifecycle] for lifecycle in LIFECYCLES}
