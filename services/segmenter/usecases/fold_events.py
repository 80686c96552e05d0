"""Fold a batch of events into users and their history, each event once."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from services.segmenter.domain.calendar import Calendar
from services.segmenter.domain.origin import Origin, origin_of
from services.segmenter.domain.policy import Policies
from services.segmenter.domain.profile import (
    Arrivals,
    Change,
    Profile,
    advance,
    begin,
    pass_time,
)
from services.segmenter.domain.transition import Cause
from services.segmenter.usecases.adopt_policies import adopt_policies
from services.segmenter.usecases.ports import EventKey, Folding, Store
from services.segmenter.usecases.write_history import History, Occasion, write_history
from shared.contracts.events import EventEnvelope

# A repeat is dropped if it comes within this time of the first; SDKs try for at most 12 hours, and
# pages that were offline for longer. Source: docs/lifecycle.md.
DUPLICATE_WINDOW = timedelta(days=8)


@dataclass(frozen=True, slots=True)
class Folded:
    """What a batch came to."""

    history: History
    folded: int = 0
    duplicates: int = 0
    inactive: int = 0
    fresh: Sequence[Folding] = ()


@dataclass(slots=True)
class _Activity:
    """One user's active events of the batch, in the order of the log."""

    events: list[EventEnvelope] = field(default_factory=list)

    def arrivals(self, occasion: Occasion, *, first_seen: datetime | None) -> Arrivals:
        """Return when they were, with the origin where nothing earlier is known of the user."""
        instants = [event.timestamp for event in self.events]
        earliest = min(instants)
        is_first = first_seen is None or earliest <= first_seen
        return Arrivals(
            instants,
            max([event.received_at for event in self.events]),
            occasion.part,
            _days(instants, earliest, occasion.calendar),
            self._origin_at(earliest) if is_first else None,
        )

    def _origin_at(self, instant: datetime) -> Origin:
        return min(origin_of(event.payload) for event in self.events if event.timestamp == instant)

    def cause_of(self, at: datetime) -> EventEnvelope | None:
        """Return the first event that happened at the instant."""
        return next((event for event in self.events if event.timestamp == at), None)


async def fold_events(
    events: Sequence[Folding], *, occasion: Occasion, policies: Policies, store: Store
) -> Folded:
    """Apply the events that are not known yet. The order of arrival does not matter to the result.

    Users who are touched are also taken through what is due for them by the watermark.
    """
    if not events:
        return Folded(History())
    # Locked before the log is asked: what another lane folds for these users is in it by then.
    profiles = await store.lock({each.event.user_id for each in events if each.event.active})
    fresh = await _without_repeats(events, store=store)
    activity = _activity_of(fresh)
    begun = await _begin_users(
        {user_id: each for user_id, each in activity.items() if user_id not in profiles},
        occasion=occasion,
        policies=policies,
        store=store,
    )
    made_elsewhere = activity.keys() - profiles.keys() - begun.keys()
    if made_elsewhere:  # by another lane, in between: a user's events may come by two partitions
        profiles |= await store.lock(made_elsewhere)
        fresh = await _not_in_log(fresh, store=store)
        activity = _activity_of(fresh)
    moved = await _move_users(profiles, activity, occasion=occasion, policies=policies, store=store)
    changes = [*begun.values(), *moved]
    occasion.count(changes, policies)
    await store.add_events(fresh, part=occasion.part)
    history = await write_history(
        changes,
        occasion=occasion,
        store=store,
        cause_of=lambda user_id, at: _cause(activity[user_id], at, occasion.live_window),
    )
    inactive = sum(not each.event.active for each in fresh)
    return Folded(history, len(fresh) - inactive, len(events) - len(fresh), inactive, fresh)


async def _without_repeats(events: Sequence[Folding], *, store: Store) -> list[Folding]:
    """Return the events whose id neither the log nor an earlier one of the batch has."""
    first: dict[EventKey, Folding] = {}
    for each in events:
        first.setdefault((each.event.source, each.event.event_id), each)
    known = await store.known(first.keys(), since=_looked_up_since(events))
    if known:
        return [each for key, each in first.items() if key not in known]
    return list(first.values())


async def _not_in_log(events: Sequence[Folding], *, store: Store) -> list[Folding]:
    known = await store.known([each.key for each in events], since=_looked_up_since(events))
    return [each for each in events if each.key not in known]


def _looked_up_since(events: Collection[Folding]) -> datetime:
    return min([each.event.received_at for each in events]) - DUPLICATE_WINDOW


def _activity_of(events: Iterable[Folding]) -> dict[str, _Activity]:
    """Group the events that are something a user did (Segment's `context.active` says what is not)."""
    users: dict[str, _Activity] = defaultdict(_Activity)
    for event, _ in events:
        if event.active:
            users[event.user_id].events.append(event)
    return users


async def _begin_users(
    activity: Mapping[str, _Activity], *, occasion: Occasion, policies: Policies, store: Store
) -> dict[str, Change]:
    begun = {
        user_id: _settle(
            begin(user_id, each.arrivals(occasion, first_seen=None), policies), occasion, policies
        )
        for user_id, each in sorted(activity.items())
    }
    if not begun:
        return {}
    added = await store.add_users([change.profile for change in begun.values()], now=occasion.now)
    return {user_id: change for user_id, change in begun.items() if user_id in added}


async def _move_users(
    profiles: Mapping[str, Profile],
    activity: Mapping[str, _Activity],
    *,
    occasion: Occasion,
    policies: Policies,
    store: Store,
) -> list[Change]:
    """Move the locked users who were active on; return what changed, already saved."""
    touched = [profiles[user_id] for user_id in activity if user_id in profiles]
    adopted = await adopt_policies(touched, policies=policies, store=store)
    moved = []
    for user_id, change in adopted.items():
        arrivals = activity[user_id].arrivals(occasion, first_seen=change.profile.first_seen)
        advanced = advance(change.profile, arrivals, policies)
        if change.profile is not change.before:
            advanced = change.then(advanced)
        moved.append(_settle(advanced, occasion, policies))
    extended = [change.profile for change in moved if change.only_extended]
    saved = [change.profile for change in moved if not change.only_extended]
    if extended:
        await store.extend_users(extended, now=occasion.now)
    if saved:
        await store.save_users(saved, now=occasion.now)
    return moved


def _days(instants: Sequence[datetime], earliest: datetime, calendar: Calendar) -> Sequence[int]:
    first, last = calendar.day_of(earliest), calendar.day_of(max(instants))
    if first == last:
        return (first,)
    return list({calendar.day_of(instant) for instant in instants})


def _settle(change: Change, occasion: Occasion, policies: Policies) -> Change:
    if occasion.watermark is None:
        return change
    return pass_time(change, occasion.watermark, policies)


def _cause(activity: _Activity, at: datetime, live_window: timedelta) -> Cause | None:
    event = activity.cause_of(at)
    if event is None:
        return None
    late = event.timestamp < event.received_at - live_window
    return Cause(event.source, event.event_id, historical=event.historical or late)
