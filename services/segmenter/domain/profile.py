"""A user as the segmenter knows them, and how activity and time move them on."""

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime

import msgspec
from msgspec import structs

from services.segmenter.domain.active_days import ActiveDays
from services.segmenter.domain.deadlines import Deadline, next_deadline, standing
from services.segmenter.domain.lifecycle import LIVE, Step, StepKey, timeline
from services.segmenter.domain.origin import Origin, least
from services.segmenter.domain.policy import Policies
from services.segmenter.domain.spans import Logged, Span, Spans, add_instants, finer
from services.segmenter.domain.transition import difference
from shared.vocabulary import Lifecycle


class Profile(msgspec.Struct, frozen=True, gc=False):
    """One user. `part` is the events partition whose lane lets time pass for them.

    `days` are days of the product's calendar; `origin` is what the user's first event names. Where several
    ids are one user, `also_parts` are all partitions by which their events may come; time passes no further
    than each of them is folded.
    """

    user_id: str
    part: int
    spans: Spans
    lifecycle: Lifecycle
    lifecycle_since: datetime
    deadline: Deadline | None
    event_count: int
    known_at: datetime
    policy_version: int
    days: ActiveDays
    origin: Origin
    revision: int = 0
    also_parts: tuple[int, ...] = ()

    @property
    def first_seen(self) -> datetime:
        return self.spans[0].start

    @property
    def last_seen(self) -> datetime:
        return self.spans[-1].end

    @property
    def settled(self) -> datetime:
        """The instant up to which this user's history is written."""
        return max(self.last_seen, self.lifecycle_since)


class Arrivals(msgspec.Struct, frozen=True, gc=False):
    """One user's activity in one batch: when it happened, and when the latest of it was received.

    `origin` is what the earliest of it names (the least, where several are the earliest); it is only
    wanted where nothing earlier is known of the user. `elsewhere`: some of it came under another id of theirs.
    """

    instants: Collection[datetime]
    known_at: datetime
    part: int
    days: Iterable[int]
    origin: Origin | None = None
    elsewhere: bool = False


class Change(msgspec.Struct, frozen=True, gc=False):
    """What became of a user: the new profile, and the steps that no longer hold or hold from now.

    `before` is the user as stored; None: there was none.
    Events contradict what is `retracted`; what is `repealed`, a policy that held already.
    `kept_until` is the latest step that held before and still does, where a history was corrected.
    `is_gone`: the user is none any more, and `profile` is who they were.
    """

    profile: Profile
    before: Profile | None
    retracted: tuple[Step, ...] = ()
    written: tuple[Step, ...] = ()
    kept_until: datetime | None = None
    repealed: tuple[Step, ...] = ()
    # Nothing but `last_seen`, the deadline and the count moved on, as with most activity.
    only_extended: bool = False
    # Nothing but the state and the deadline moved on, as when only time passes.
    only_aged: bool = False
    # Not what a late event contradicts: the words for what is retracted, where they are others.
    because: str | None = None
    is_gone: bool = False

    def is_overtaken(self, step: Step) -> bool:
        """Say whether something that was known already came after a step that is written now."""
        return self.kept_until is not None and step.at < self.kept_until

    def then(self, later: "Change") -> "Change":
        """Return both changes as one; `later` began from this one's profile."""
        if not (self.written or self.repealed or self.retracted):
            return structs.replace(later, before=self.before, only_extended=False)
        mine, theirs = _keys(self.written), _keys(later.written)
        gone, back = _keys(later.retracted), _keys((*self.repealed, *self.retracted))
        return Change(
            later.profile,
            self.before,
            retracted=(
                *(step for step in self.retracted if step.key not in theirs),
                *(step for step in later.retracted if step.key not in mine),
            ),
            written=(
                *(step for step in self.written if step.key not in gone),
                *(step for step in later.written if step.key not in back),
            ),
            kept_until=max(filter(None, (self.kept_until, later.kept_until)), default=None),
            repealed=tuple(step for step in self.repealed if step.key not in theirs),
            because=self.because or later.because,
        )


def begin(user_id: str, arrivals: Arrivals, policies: Policies) -> Change:
    """Return a user who was never seen before."""
    spans = add_instants((), arrivals.instants, silent_after=policies.grain)
    steps = timeline(spans, policies)
    written = standing(steps, spans[-1].end)
    profile = Profile(
        user_id,
        arrivals.part,
        spans,
        written[-1].after,
        written[-1].at,
        next_deadline(steps, spans[-1].end),
        len(arrivals.instants),
        arrivals.known_at,
        policies.current.version,
        ActiveDays.of(arrivals.days),
        arrivals.origin or Origin(),
    )
    return Change(profile, None, written=tuple(written))


def advance(profile: Profile, arrivals: Arrivals, policies: Policies) -> Change:
    """Return the user after more activity, in whatever order it came."""
    extended = _extend(profile, arrivals, policies)
    if extended is None:
        return _rewrite(profile, arrivals, policies)
    return Change(extended, profile, only_extended=_is_only_extended(profile, extended))


def adopt(profile: Profile, policies: Policies, logged: Logged | None = None) -> Change:
    """Return the user as the policies activated since they were last touched say.

    `logged` is wanted where `hides_silences` says so. What is written already stays written, but for what
    was written after an activation by somebody who had not heard of it.
    """
    if profile.policy_version == policies.current.version:
        return Change(profile, profile)
    spans = finer(profile.spans, logged, silent_after=policies.grain)
    steps = timeline(spans, policies)
    before = timeline(profile.spans, policies.known_to(profile.policy_version))
    now_standing = standing(steps, profile.settled)
    repealed, written = difference(standing(before, profile.settled), now_standing)
    moved = structs.replace(
        profile,
        spans=spans,
        lifecycle=now_standing[-1].after,
        lifecycle_since=now_standing[-1].at,
        deadline=next_deadline(steps, profile.settled),
        policy_version=policies.current.version,
        revision=profile.revision + bool(repealed),
    )
    return Change(moved, profile, (), written, _kept(now_standing, written), repealed)


def hides_silences(profile: Profile, policies: Policies) -> bool:
    """Say whether the user's spans may hold a silence that only the newer policies know."""
    return policies.grain < policies.known_to(profile.policy_version).grain and any(
        span.end - span.start >= policies.grain for span in profile.spans
    )


def pass_time(change: Change, until: datetime, policies: Policies) -> Change:
    """Return the user after every step that is due by `until`, each at its own instant."""
    profile = change.profile
    if profile.deadline is None or profile.deadline.at > until:
        return change
    steps = timeline(profile.spans, policies)
    settled = profile.settled
    due = [step for step in steps if settled < step.at <= until]
    moved = structs.replace(
        profile,
        lifecycle=due[-1].after,
        lifecycle_since=due[-1].at,
        deadline=next_deadline(steps, until),
    )
    return structs.replace(
        change,
        profile=moved,
        written=(*change.written, *due),
        only_extended=False,
        only_aged=profile is change.before,
    )


def _extend(profile: Profile, arrivals: Arrivals, policies: Policies) -> Profile | None:
    """Return the user where the activity only moves `last_seen`, as most does; None otherwise.

    Inside the latest span, and before time alone would have changed anything, no step comes or goes.
    """
    deadline, span = profile.deadline, profile.spans[-1]
    latest = max(arrivals.instants)
    if (
        deadline is None
        or profile.lifecycle not in LIVE
        or min(arrivals.instants) < span.start
        or latest >= deadline.at
        or (policies.later and _may_move_steps(profile, latest, policies))
    ):
        return None
    part, also_parts = _parts(profile, arrivals)
    return Profile(
        profile.user_id,
        part,
        profile.spans if latest <= span.end else (*profile.spans[:-1], Span(span.start, latest)),
        profile.lifecycle,
        profile.lifecycle_since,
        deadline if latest <= span.end else _later(profile, latest, policies),
        profile.event_count + len(arrivals.instants),
        max(profile.known_at, arrivals.known_at),
        profile.policy_version,
        profile.days.add(arrivals.days),
        _origin(profile, arrivals),
        profile.revision,
        also_parts,
    )


def _may_move_steps(profile: Profile, latest: datetime, policies: Policies) -> bool:
    """Say whether, with several policies, activity of a live user may do more than extend the latest span.

    The span may end sooner than the silence that counts now; and a policy that was replaced since may have
    called the user silent in between.
    """
    end = profile.last_seen
    return latest >= end + policies.grain or end < latest < profile.lifecycle_since


def _is_only_extended(before: Profile, after: Profile) -> bool:
    coming, came = after.deadline, before.deadline
    return (
        after.part == before.part
        and after.also_parts is before.also_parts
        and after.days is before.days
        and after.origin is before.origin
        and coming is not None
        and came is not None
        and coming.at >= came.at
    )


def _parts(profile: Profile, arrivals: Arrivals) -> tuple[int, tuple[int, ...]]:
    """Return the partition that a user is swept with, and all by which they come, where they have several ids.

    Whoever has one id moves on with it: partitions were added.
    """
    if not profile.also_parts and not arrivals.elsewhere:
        return arrivals.part, ()
    if arrivals.part in profile.also_parts:
        return profile.part, profile.also_parts
    return profile.part, tuple(sorted({profile.part, arrivals.part, *profile.also_parts}))


def _origin(profile: Profile, arrivals: Arrivals) -> Origin:
    """Return what the first of all events names; of several at that instant, the `least`."""
    if arrivals.origin is None:
        return profile.origin
    earliest = min(arrivals.instants)
    if earliest < profile.first_seen:
        return arrivals.origin
    return (
        least((profile.origin, arrivals.origin))
        if earliest == profile.first_seen
        else profile.origin
    )


def _later(profile: Profile, latest: datetime, policies: Policies) -> Deadline | None:
    """Return the deadline once `last_seen` has moved on to `latest`, before the old deadline."""
    deadline = profile.deadline
    if deadline is not None and deadline.to in LIVE:
        return deadline  # a period runs out before the silence would begin, and that stays so
    policy = policies.current
    if profile.lifecycle is Lifecycle.ACTIVE and policies.at(latest) is policy:
        return Deadline(latest + policy.silent_after, Lifecycle.SILENT)
    spans = (*profile.spans[:-1], Span(profile.spans[-1].start, latest))
    return next_deadline(timeline(spans, policies), max(latest, profile.lifecycle_since))


def _rewrite(profile: Profile, arrivals: Arrivals, policies: Policies) -> Change:
    """Compare the history that stands with the one that should, up to what is settled."""
    spans = add_instants(profile.spans, arrivals.instants, silent_after=policies.grain)
    steps = timeline(spans, policies)
    settled = max(profile.settled, *arrivals.instants)
    now_standing = standing(steps, settled)
    retracted, written = difference(
        standing(timeline(profile.spans, policies), profile.settled), now_standing
    )
    part, also_parts = _parts(profile, arrivals)
    moved = Profile(
        profile.user_id,
        part,
        spans,
        now_standing[-1].after,
        now_standing[-1].at,
        next_deadline(steps, settled),
        profile.event_count + len(arrivals.instants),
        max(profile.known_at, arrivals.known_at),
        profile.policy_version,
        profile.days.add(arrivals.days),
        _origin(profile, arrivals),
        profile.revision + bool(retracted),
        also_parts,
    )
    return Change(moved, profile, retracted, written, kept_until=_kept(now_standing, written))


def _keys(steps: Sequence[Step]) -> set[StepKey]:
    return {step.key for step in steps}


def _kept(standing_now: Sequence[Step], written: Sequence[Step]) -> datetime | None:
    new = _keys(
        written
    )  # by keys: a long history that comes late would take the square of its length
    return max((step.at for step in standing_now if step.key not in new), default=None)
