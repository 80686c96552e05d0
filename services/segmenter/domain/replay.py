"""A user from nothing but the event log: all that was logged of them goes in, in any order, and the user comes out."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple

from msgspec import structs

from services.segmenter.domain.active_days import ActiveDays
from services.segmenter.domain.calendar import Calendar
from services.segmenter.domain.counters import Cells, Standing, activity_delta, flow_delta
from services.segmenter.domain.deadlines import next_deadline, standing
from services.segmenter.domain.lifecycle import Step, timeline
from services.segmenter.domain.origin import Origin
from services.segmenter.domain.policy import Policies
from services.segmenter.domain.profile import Profile
from services.segmenter.domain.spans import Spans, add_instants


class Deed(NamedTuple):
    """One active event of a user, as far as it matters. The log holds each event that was folded once."""

    at: datetime
    received_at: datetime
    part: int


@dataclass(frozen=True, slots=True)
class Replayed:
    """All that follows from a user's events but the origin, which only the first of them names.

    `part` is the partition by which the latest receipt came, `parts` are all of them.
    """

    spans: Spans
    days: ActiveDays
    event_count: int
    known_at: datetime
    part: int
    parts: frozenset[int]

    @property
    def first_seen(self) -> datetime:
        return self.spans[0].start

    @property
    def last_seen(self) -> datetime:
        return self.spans[-1].end


class Replay:
    """Takes a user's events some at a time, and keeps no more than spans and days of them."""

    def __init__(self, *, grain: timedelta, calendar: Calendar) -> None:
        self._grain = grain
        self._calendar = calendar
        self._spans: Spans = ()
        self._days: set[int] = set()
        self._count = 0
        self._latest: tuple[datetime, int] | None = None
        self._parts: set[int] = set()

    @property
    def first(self) -> datetime | None:
        """When the first event was, of those that are known."""
        return self._spans[0].start if self._spans else None

    def add(self, deeds: Sequence[Deed]) -> None:
        """Take more of the user's events, none of them twice."""
        if not deeds:
            return
        instants = {deed.at for deed in deeds}
        self._spans = add_instants(self._spans, instants, silent_after=self._grain)
        self._days.update(map(self._calendar.day_of, instants))
        self._count += len(deeds)
        self._parts.update(deed.part for deed in deeds)
        latest = max((deed.received_at, deed.part) for deed in deeds)
        self._latest = latest if self._latest is None else max(self._latest, latest)

    def result(self) -> Replayed | None:
        """Return what the events come to; None: there were none."""
        if self._latest is None:
            return None
        return Replayed(
            self._spans,
            ActiveDays.of(self._days),
            self._count,
            *self._latest,
            frozenset(self._parts),
        )


class Rebuilt(NamedTuple):
    """A user with the steps that stand."""

    profile: Profile
    steps: list[Step]


@dataclass(frozen=True, slots=True)
class Keeper:
    """What a user keeps that is not in the log. `stored`: the row they have; None: there is none.

    `until`: up to when their history is written, besides what their activity itself brings with it.
    """

    user_id: str
    stored: Profile | None
    until: datetime | None


def rebuild(replayed: Replayed, origin: Origin, *, keeper: Keeper, policies: Policies) -> Rebuilt:
    """Return the user as they are by these events and policies alone."""
    steps = timeline(replayed.spans, policies)
    last_seen = replayed.last_seen
    settled = last_seen if keeper.until is None else max(last_seen, keeper.until)
    now_standing = standing(steps, settled)
    profile = Profile(
        keeper.user_id,
        replayed.part,
        replayed.spans,
        now_standing[-1].after,
        now_standing[-1].at,
        next_deadline(steps, settled),
        replayed.event_count,
        replayed.known_at,
        policies.current.version,
        replayed.days,
        origin,
    )
    if keeper.stored is not None:
        profile = _kept(keeper.stored, profile, replayed.parts)
    return Rebuilt(profile, now_standing)


def count_share(
    profile: Profile, steps: Sequence[Step], calendar: Calendar, into: Cells, *, gone: bool = False
) -> None:
    """Add all that the user contributes to the counts; take it away where they are `gone`."""
    share = Standing(profile.days, profile.origin)
    if gone:
        activity_delta(share, None, calendar, into)
        flow_delta(steps, (), profile.origin, calendar, into)
    else:
        activity_delta(None, share, calendar, into)
        flow_delta((), steps, profile.origin, calendar, into)


def steps_of(profile: Profile, policies: Policies) -> list[Step]:
    """Return the steps that a stored user stands for, as whoever changes them next takes them."""
    known = policies.known_to(profile.policy_version)
    return standing(timeline(profile.spans, known), profile.settled)


def _kept(stored: Profile, rebuilt: Profile, parts: Collection[int]) -> Profile:
    """Return the user with what the log can't say: by which partition they came last, and their corrections."""
    return structs.replace(
        stored,
        # Whoever has several ids is swept with any partition by which they may come.
        part=stored.part if stored.also_parts or stored.part in parts else rebuilt.part,
        spans=rebuilt.spans,
        lifecycle=rebuilt.lifecycle,
        lifecycle_since=rebuilt.lifecycle_since,
        deadline=rebuilt.deadline,
        event_count=rebuilt.event_count,
        known_at=rebuilt.known_at,
        policy_version=rebuilt.policy_version,
        days=rebuilt.days,
        origin=rebuilt.origin,
    )
