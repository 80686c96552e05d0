"""The log of events, read as what people did: whose each id is, and who did what when.

Each claim is judged after the other, in the order of the definition; nothing here is the services'.
"""

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property

from tests.chaos.topics import Logged


@dataclass(frozen=True)
class PeopleLog:
    """Every record of the log. With the filter off, repeats count like other events."""

    records: Sequence[Logged]
    filter_is_on: bool

    @cached_property
    def once(self) -> Sequence[Logged]:
        """Each event once."""
        return list({event.event_id: event for event in reversed(self.records)}.values())

    @cached_property
    def claims(self) -> Sequence[Logged]:
        """Every claim, in the order in which they are judged."""
        claims = [event for event in self.once if event.claimed is not None]
        return sorted(claims, key=lambda each: (each.timestamp, each.source, each.event_id))

    @cached_property
    def parents(self) -> dict[str, str]:
        """Return id → the id that it is, by the first claim of it that closes no circle."""
        parents: dict[str, str] = {}
        for claim in self.claims:
            if claim.claimed is None or claim.claimed in parents:
                continue
            if _root(claim.user_id, parents) != claim.claimed:
                parents[claim.claimed] = claim.user_id
        return parents

    def home(self, user_id: str) -> str:
        """Return whose the id is: its own, or another's."""
        return _root(user_id, self.parents)

    @cached_property
    def close(self) -> dict[str, set[str]]:
        """Return id → the ids that may have been one with it at a time: whose it is at last, and by any one claim."""
        found: dict[str, set[str]] = defaultdict(set)
        members: dict[str, set[str]] = defaultdict(set)
        for event in self.once:
            members[self.home(event.user_id)].add(event.user_id)
        for claim in self.claims:
            if claim.claimed is not None:
                found[claim.claimed].add(claim.user_id)
                found[claim.user_id].add(claim.claimed)
        for home, ids in members.items():
            for each in {home, *ids}:
                found[each] |= ids
        return found

    @cached_property
    def counted(self) -> Sequence[Logged]:
        return self.once if self.filter_is_on else self.records

    @cached_property
    def instants(self) -> dict[str, list[datetime]]:
        """Return user → when they did something, under whatever id."""
        found: dict[str, list[datetime]] = defaultdict(list)
        for event in self.once:
            found[self.home(event.user_id)].append(event.timestamp)
        return found

    @cached_property
    def counts(self) -> Counter[str]:
        return Counter(self.home(event.user_id) for event in self.counted)


def _root(user_id: str, parents: dict[str, str]) -> str:
    while user_id in parents:
        user_id = parents[user_id]
    return user_id
