"""The lifecycle straight from its definition, by looking at every instant of activity: slow, sure.

It shares nothing with the code under test but the words.
"""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise


@dataclass(frozen=True)
class Thresholds:
    new_for: timedelta
    silent_after: timedelta
    churned_after: timedelta
    returned_for: timedelta


DEFAULTS = Thresholds(timedelta(days=7), timedelta(days=7), timedelta(days=30), timedelta(days=7))

Change = tuple[datetime, str | None, str]


def state(activity: Collection[datetime], rules: Thresholds, now: datetime) -> str | None:
    """Where a user stands at `now`, given everything they did."""
    past = sorted(instant for instant in activity if instant <= now)
    if not past:
        return None
    silence = now - past[-1]
    if silence >= rules.churned_after:
        return "churned"
    if silence >= rules.silent_after:
        return "silent"
    comebacks = [
        later for earlier, later in pairwise(past) if later - earlier >= rules.churned_after
    ]
    if comebacks and now < comebacks[-1] + rules.returned_for:
        return "returned"
    return "new" if now < past[0] + rules.new_for else "active"


def history(activity: Collection[datetime], rules: Thresholds, until: datetime) -> list[Change]:
    """Every change of state up to and including `until`."""
    changes: list[Change] = []
    before: str | None = None
    for instant in sorted(set(_candidates(activity, rules))):
        after = state(activity, rules, instant)
        if instant <= until and after is not None and after != before:
            changes.append((instant, before, after))
            before = after
    return changes


def next_change(
    activity: Collection[datetime], rules: Thresholds, after: datetime
) -> tuple[datetime, str] | None:
    """What time alone does next, when nothing more is done."""
    done = [instant for instant in activity if instant <= after]
    now = state(done, rules, after)
    for instant in sorted(set(_candidates(done, rules))):
        then = state(done, rules, instant)
        if instant > after and then is not None and then != now:
            return instant, then
    return None


# Since when each set of thresholds holds, in order; the first one always did.
Laws = Sequence[tuple[datetime, Thresholds]]


def law_at(laws: Laws, now: datetime) -> Thresholds:
    """The thresholds that hold at `now`."""
    return [rules for number, (since, rules) in enumerate(laws) if not number or since <= now][-1]


def history_under(activity: Collection[datetime], laws: Laws, until: datetime) -> list[Change]:
    """Every change of state up to and including `until`, where each instant has its own law."""
    candidates = {since for since, _ in laws[1:]}
    for _, rules in laws:
        candidates.update(_candidates(activity, rules))
    changes: list[Change] = []
    before: str | None = None
    for instant in sorted(candidates):
        after = state(activity, law_at(laws, instant), instant)
        if instant <= until and after is not None and after != before:
            changes.append((instant, before, after))
            before = after
    return changes


def _candidates(activity: Collection[datetime], rules: Thresholds) -> Iterator[datetime]:
    """The only instants at which a state can change."""
    durations = (rules.new_for, rules.silent_after, rules.churned_after, rules.returned_for)
    for instant in activity:
        yield instant
        yield from (instant + duration for duration in durations)
