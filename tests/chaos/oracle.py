"""The lifecycle once more, straight from its definition: what every user should have gone through.

Independent of the services' code on purpose: the state at any instant is looked up in the plain list
of activity instants, and a history is the instants at which that state changes.
"""

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise

_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Rules:
    """The thresholds of a policy."""

    new_for: timedelta
    silent_after: timedelta
    churned_after: timedelta
    returned_for: timedelta

    def wire(self) -> dict[str, object]:
        """Return them as the api takes them."""
        return {
            "new_for_s": int(self.new_for.total_seconds()),
            "silent_after_s": int(self.silent_after.total_seconds()),
            "churned_after_s": int(self.churned_after.total_seconds()),
            "returned_for_s": int(self.returned_for.total_seconds()),
        }

    def spans(self) -> tuple[timedelta, ...]:
        return self.new_for, self.silent_after, self.churned_after, self.returned_for


FIRST = Rules(7 * _DAY, 7 * _DAY, 30 * _DAY, 7 * _DAY)

# Since when further rules hold, in order; until then the first ones do.
Laws = Sequence[tuple[datetime, Rules]]


@dataclass(frozen=True, slots=True, order=True)
class Step:
    """A change of one user's lifecycle."""

    at: datetime
    before: str | None
    after: str


def history(instants: Iterable[datetime], *, until: datetime, laws: Laws = ()) -> list[Step]:
    """Return every change up to `until`."""
    known = sorted(set(instants))
    returns = {rules: _returns(known, rules) for rules in {FIRST, *(rules for _, rules in laws)}}
    since = [at for at, _ in laws]
    steps: list[Step] = []
    for at in _moments(known, until, laws):
        number = bisect_right(since, at)
        rules = laws[number - 1][1] if number else FIRST
        state = state_at(known, returns[rules], at, rules)
        if not steps or state != steps[-1].after:
            steps.append(Step(at, steps[-1].after if steps else None, state))
    return steps


def state_at(known: list[datetime], returns: list[datetime], now: datetime, rules: Rules) -> str:
    """Return the lifecycle at `now`, which is not before the first activity; both lists in order."""
    quiet = now - known[bisect_right(known, now) - 1]
    if quiet >= rules.churned_after:
        return "churned"
    if quiet >= rules.silent_after:
        return "silent"
    returned = bisect_right(returns, now)
    if returned and now < returns[returned - 1] + rules.returned_for:
        return "returned"
    return "new" if now < known[0] + rules.new_for else "active"


def _returns(known: list[datetime], rules: Rules) -> list[datetime]:
    return [later for earlier, later in pairwise(known) if later - earlier >= rules.churned_after]


def _moments(known: list[datetime], until: datetime, laws: Laws) -> list[datetime]:
    spans = {timedelta(0), *FIRST.spans(), *(span for _, rules in laws for span in rules.spans())}
    moments = {instant + span for instant in known for span in spans}
    moments |= {at for at, _ in laws if known and at >= known[0]}
    return sorted(moment for moment in moments if moment <= until)
