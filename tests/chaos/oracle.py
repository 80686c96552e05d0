"""The lifecycle once more, straight from its definition: what every user should have gone through.

Independent of the services' code on purpose: the state at any instant is looked up in the plain list
of activity instants, and a history is the instants at which that state changes.
"""

from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise

NEW_FOR = timedelta(days=7)
SILENT_AFTER = timedelta(days=7)
CHURNED_AFTER = timedelta(days=30)
RETURNED_FOR = timedelta(days=7)


@dataclass(frozen=True, slots=True, order=True)
class Step:
    """A change of one user's lifecycle."""

    at: datetime
    before: str | None
    after: str


def history(instants: Iterable[datetime], *, until: datetime) -> list[Step]:
    """Return every change up to `until`."""
    known = sorted(set(instants))
    returns = [later for earlier, later in pairwise(known) if later - earlier >= CHURNED_AFTER]
    steps: list[Step] = []
    for at in _moments(known, until):
        state = state_at(known, returns, at)
        if not steps or state != steps[-1].after:
            steps.append(Step(at, steps[-1].after if steps else None, state))
    return steps


def state_at(known: list[datetime], returns: list[datetime], now: datetime) -> str:
    """Return the lifecycle at `now`, which is not before the first activity; both lists in order."""
    quiet = now - known[bisect_right(known, now) - 1]
    if quiet >= CHURNED_AFTER:
        return "churned"
    if quiet >= SILENT_AFTER:
        return "silent"
    returned = bisect_right(returns, now)
    if returned and now < returns[returned - 1] + RETURNED_FOR:
        return "returned"
    return "new" if now < known[0] + NEW_FOR else "active"


def _moments(known: list[datetime], until: datetime) -> list[datetime]:
    spans = (timedelta(0), NEW_FOR, SILENT_AFTER, CHURNED_AFTER, RETURNED_FOR)
    moments = {instant + span for instant in known for span in spans}
    return sorted(moment for moment in moments if moment <= until)
