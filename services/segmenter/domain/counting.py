"""From what became of a user to what is added to the counts."""

from services.segmenter.domain.calendar import Calendar
from services.segmenter.domain.counters import Cells, Standing, activity_delta, flow_delta
from services.segmenter.domain.deadlines import standing
from services.segmenter.domain.lifecycle import timeline
from services.segmenter.domain.policy import Policies
from services.segmenter.domain.profile import Change, Profile


def count_change(change: Change, *, policies: Policies, calendar: Calendar, into: Cells) -> None:
    """Add the user's share of the counts after the change, less their share before it."""
    if change.only_extended:
        return
    before, after = change.before, change.profile
    if change.is_gone:
        activity_delta(_standing(before), None, calendar, into)
        flow_delta(change.retracted, (), after.origin, calendar, into)
        return
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
