"""From what became of a user to what is added to the counts."""

from collections import defaultdict
from collections.abc import Iterable

from services.segmenter.domain.calendar import Calendar
from services.segmenter.domain.counters import (
    Cells,
    Standing,
    activity_delta,
    count_standing,
    flow_delta,
)
from services.segmenter.domain.deadlines import standing
from services.segmenter.domain.lifecycle import timeline
from services.segmenter.domain.policy import Policies
from services.segmenter.domain.profile import Change, Profile


def count_changes(
    changes: Iterable[Change], *, policies: Policies, calendar: Calendar, into: Cells
) -> None:
    """Add what `count_change` adds of each.

    Most who begin in one batch begin on the same day and alike, and are counted at once.
    """
    begun: dict[Standing, int] = defaultdict(int)
    for change in changes:
        if change.only_extended:
            continue
        profile = change.profile
        if change.before is None and not change.is_gone:
            begun[Standing(profile.days, profile.origin)] += 1
            ended = (*change.retracted, *change.repealed)
            flow_delta(ended, change.written, profile.origin, calendar, into)
        else:
            count_change(change, policies=policies, calendar=calendar, into=into)
    for standing_alike, users in begun.items():
        count_standing(standing_alike, calendar, into, users=users)


def count_change(change: Change, *, policies: Policies, calendar: Calendar, into: Cells) -> None:
    """Add the user's share of the counts after the change, less their share before it."""
    if change.only_extended:
        return
    before, after = change.before, change.profile
    if change.is_gone:
        activity_delta(_standing(before), None, calendar, into)
        flow_delta(change.retracted, (), after.origin, calendar, into)
        return
    if before is None or before.days is not after.days or before.origin is not after.origin:
        activity_delta(_standing(before), _standing(after), calendar, into)
    ended = (*change.retracted, *change.repealed)
    if before is None or before.origin == after.origin:
        flow_delta(ended, change.written, after.origin, calendar, into)
        return
    # Every step that stands moves to the other origin, also those that the change left alone.
    now = standing(timeline(after.spans, policies), after.settled)
    written = {step.key for step in change.written}
    kept = [step for step in now if step.key not in written]
    flow_delta((*kept, *ended), (), before.origin, calendar, into)
    flow_delta((), now, after.origin, calendar, into)


def _standing(profile: Profile | None) -> Standing | None:
    return None if profile is None else Standing(profile.days, profile.origin)
