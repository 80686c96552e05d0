"""Users made of several ids: what they did together, and how their histories become one."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import reduce

from services.segmenter.domain.active_days import ActiveDays
from services.segmenter.domain.deadlines import next_deadline, standing
from services.segmenter.domain.lifecycle import timeline
from services.segmenter.domain.origin import Origin, least
from services.segmenter.domain.policy import Policies
from services.segmenter.domain.profile import Change, Profile
from services.segmenter.domain.spans import Spans, coarser
from services.segmenter.domain.transition import difference


@dataclass(frozen=True, slots=True)
class Activity:
    """All that is kept of what was done under one id, or under several."""

    spans: Spans
    event_count: int
    known_at: datetime
    days: ActiveDays
    origin: Origin

    @classmethod
    def of(cls, profile: Profile) -> "Activity":
        return cls(
            profile.spans, profile.event_count, profile.known_at, profile.days, profile.origin
        )


@dataclass(frozen=True, slots=True)
class Keeper:
    """The row that a user is kept in. `also_parts` as of their profile."""

    user_id: str
    part: int
    revision: int
    also_parts: tuple[int, ...]


def together(activities: Iterable[Activity], *, grain: timedelta) -> Activity:
    """Return what was done in all, the same in any order. Raises ValueError where there is nothing."""
    each = list(activities)
    first_seen = min(one.spans[0].start for one in each)
    return Activity(
        coarser(tuple(span for one in each for span in one.spans), grain),
        sum(one.event_count for one in each),
        max(one.known_at for one in each),
        reduce(ActiveDays.union, (one.days for one in each)),
        least([one.origin for one in each if one.spans[0].start == first_seen]),
    )


def made_of(
    activity: Activity,
    policies: Policies,
    *,
    keeper: Keeper,
    before: Profile | None,
    until: datetime | None,
) -> Change:
    """Return the user who did all that; `before`: who they were, where they were one, up to all policies.

    Time passes for them up to `until`.
    """
    steps = timeline(activity.spans, policies)
    last_seen = activity.spans[-1].end
    settled = last_seen if until is None else max(last_seen, until)
    now_standing = standing(steps, settled)
    old = [] if before is None else standing(timeline(before.spans, policies), before.settled)
    retracted, written = difference(old, now_standing)
    profile = Profile(
        keeper.user_id,
        keeper.part,
        activity.spans,
        now_standing[-1].after,
        now_standing[-1].at,
        next_deadline(steps, settled),
        activity.event_count,
        activity.known_at,
        policies.current.version,
        activity.days,
        activity.origin,
        keeper.revision + bool(retracted),
        keeper.also_parts,
    )
    kept = {step.key for step in old}
    overtaken = max((step.at for step in now_standing if step.key in kept), default=None)
    return Change(profile, before, retracted, written, kept_until=overtaken)


def taken_apart(profile: Profile, policies: Policies) -> Change:
    """Return a user who is none any more: nothing of their history stands."""
    known = policies.known_to(profile.policy_version)
    stood = standing(timeline(profile.spans, known), profile.settled)
    return Change(profile, profile, retracted=tuple(stood), is_gone=True)
