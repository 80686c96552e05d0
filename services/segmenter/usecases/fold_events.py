"""Fold a batch of events into users and their history, each event once."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from msgspec import structs

from services.segmenter.domain.calendar import Calendar
from services.segmenter.domain.origin import Origin, origin_of
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
from services.segmenter.usecases.judge_claims import claims_of, ids_concerned
from services.segmenter.usecases.merge_users import Merged, Scene, merge_users
from services.segmenter.usecases.ports import EventKey, Folding, Locked, NoUser, Store
from services.segmenter.usecases.reach import reach_of
from services.segmenter.usecases.tell_channels import ChannelDesk
from services.segmenter.usecases.write_history import History, Occasion, write_history
from shared.contracts.events import EventEnvelope
from shared.vocabulary import EventType

# A repeat is dropped if it comes within this time of the first; SDKs try for at most 12 hours, and
# pages that were offline for longer. Source: docs/lifecycle.md.
DUPLICATE_WINDOW = timedelta(days=8)

_TRACK = EventType.TRACK  # looked up once: nearly all events are


@dataclass(frozen=True, slots=True)
class Folded:
    """What a batch came to."""

    history: History
    folded: int = 0
    duplicates: int = 0
    inactive: int = 0
    fresh: Sequence[Folding] = ()
    merged: Merged = field(default_factory=lambda: Merged(Locked()))


@dataclass(slots=True)
class _Activity:
    """One user's active events of the batch, in the order of the log.

    `elsewhere`: some came under another id of theirs.
    """

    events: list[EventEnvelope] = field(default_factory=list)
    elsewhere: bool = False

    def arrivals(
        self, occasion: Occasion, channels: ChannelDesk, *, first_seen: datetime | None
    ) -> Arrivals:
        """Return when they were, with the origin where nothing earlier is known of the user."""
        instants = [event.timestamp for event in self.events]
        earliest = min(instants)
        is_first = first_seen is None or earliest <= first_seen
        return Arrivals(
            instants,
            max([event.received_at for event in self.events]),
            occasion.part,
            _days(instants, earliest, occasion.calendar),
            channels.least(self._origins_at(earliest)) if is_first else None,
            self.elsewhere,
        )

    def _origins_at(self, instant: datetime) -> list[Origin]:
        return [origin_of(each.payload) for each in self.events if each.timestamp == instant]

    def cause_of(self, at: datetime) -> EventEnvelope | None:
        """Return the first event that happened at the instant."""
        for event in self.events:
            if event.timestamp == at:
                return event
        return None


async def fold_events(events: Sequence[Folding], scene: Scene, *, oldest: datetime) -> Folded:
    """Apply the events that are not known yet. The order of arrival does not matter to the result.

    `oldest`: none of them was received earlier.
    Users who are touched are also taken through what is due for them by the watermark. Raises UsersMoved.
    """
    if not events:
        return Folded(History())
    occasion, store = scene.occasion, scene.store
    acted, others = _activity_of(events)
    claims = claims_of(others)
    # Locked before the log is asked: what another lane folds for these users is in it by then.
    concerned = await ids_concerned(claims, stored=scene.identities) if claims else set()
    locked = await store.lock(acted.keys() | concerned)
    fresh = await _without_repeats(events, store=store, since=oldest - DUPLICATE_WINDOW)
    merged = Merged(locked)
    if claims:
        merged = await merge_users(claims_of([each.event for each in fresh]), locked, scene)
        locked = merged.locked
    if fresh is not events:
        acted, _ = _activity_of(fresh)
    activity = _of_users(acted, locked)
    begun = await _begin_users(activity, locked, scene)
    moved = await _move_users(merged.changes, locked.profiles, activity, scene)
    changes = [*begun.values(), *moved, *merged.gone]
    occasion.count(changes, scene.policies)
    await store.add_events(fresh, part=occasion.part)
    history = await write_history(
        changes,
        occasion=occasion,
        store=store,
        cause_of=lambda user_id, at: _cause(activity.get(user_id), at, occasion.live_window),
        homes=merged.homes,
    )
    active = sum([len(each.events) for each in activity.values()])
    repeats = len(events) - len(fresh)
    return Folded(history, active, repeats, len(fresh) - active, fresh, merged)


async def _without_repeats(
    events: Sequence[Folding], *, store: Store, since: datetime
) -> Sequence[Folding]:
    """Return the events whose id neither the log nor an earlier one of the batch has."""
    ids: dict[str, list[str]] = defaultdict(list)
    for each in events:
        event = each.event
        ids[event.source].append(event.event_id)
    if any(len(set(of_one)) < len(of_one) for of_one in ids.values()):
        events = _first_of_each(events)
    known = await store.known(ids, since=since)
    return [each for each in events if each.key not in known] if known else events


def _first_of_each(events: Sequence[Folding]) -> Sequence[Folding]:
    first: dict[EventKey, Folding] = {}
    for each in events:
        first.setdefault(each.key, each)
    return list(first.values())


def _activity_of(
    events: Iterable[Folding],
) -> tuple[dict[str, _Activity], Sequence[EventEnvelope]]:
    """Group the events that are something somebody did by id; and return those that may say more than that.

    Segment's `context.active` says what nobody did.
    """
    users: dict[str, _Activity] = defaultdict(_Activity)
    others = []
    for each in events:
        event = each.event
        if event.active:
            users[event.user_id].events.append(event)
        if event.type is not _TRACK:
            others.append(event)
    return users, others


def _of_users(users: dict[str, _Activity], locked: Locked) -> dict[str, _Activity]:
    """Give what came under another id to the user whose the id is."""
    for user_id in users.keys() & locked.others.keys():
        home = locked.root_of(user_id)
        if home != user_id:
            users[home].events += users.pop(user_id).events
            users[home].elsewhere = True
    return users


async def _arrivals(
    activity: Mapping[str, _Activity], first_seen: Mapping[str, datetime | None], scene: Scene
) -> dict[str, Arrivals]:
    """Return when these users were active, with channels that are decided."""
    occasion, channels = scene.occasion, scene.channels
    return await channels.decided(
        lambda: {
            user_id: activity[user_id].arrivals(occasion, channels, first_seen=first)
            for user_id, first in first_seen.items()
        }
    )


async def _begin_users(
    activity: Mapping[str, _Activity], locked: Locked, scene: Scene
) -> dict[str, Change]:
    """Begin the users that nothing is known of, and save them. Raises UsersMoved where somebody else has meanwhile."""
    occasion, policies, store = scene.occasion, scene.policies, scene.store
    activity = {
        user_id: each for user_id, each in activity.items() if user_id not in locked.profiles
    }
    if not activity:
        return {}
    folded: Mapping[int, datetime | None] = {}
    if any(each.also_parts for each in locked.others.values()):
        folded = await scene.folded_until()
    arrived = await _arrivals(activity, dict.fromkeys(activity), scene)
    begun = {}
    for user_id in sorted(activity):
        change = begin(user_id, arrived[user_id], policies)
        change = _in_its_row(change, locked.others.get(user_id))
        begun[user_id] = _settle(change, folded, scene)
    vacant = [each.profile for each in begun.values() if each.profile.user_id in locked.others]
    if vacant:
        await store.save_users(vacant, now=occasion.now)
    new = [each.profile for each in begun.values() if each.profile.user_id not in locked.others]
    if new:
        await store.begin_users(new, now=occasion.now)
    return begun


def _in_its_row(change: Change, row: NoUser | None) -> Change:
    """Return the begun user with what a row of nobody keeps of its id."""
    if row is None:
        return change
    part = row.part if row.also_parts else change.profile.part
    profile = structs.replace(
        change.profile, part=part, also_parts=row.also_parts, revision=row.revision
    )
    return structs.replace(change, profile=profile)


async def _move_users(
    merged: Mapping[str, Change],
    profiles: Mapping[str, Profile],
    activity: Mapping[str, _Activity],
    scene: Scene,
) -> list[Change]:
    """Move the locked users who were active on; return what changed, already saved.

    `merged`: what has become of users by what their ids are; saved so, and their changes begin there.
    """
    occasion, policies, store = scene.occasion, scene.policies, scene.store
    touched = [profiles[user_id] for user_id in activity if user_id in profiles]
    adopted = await adopt_policies(touched, policies=policies, store=store)
    folded: Mapping[int, datetime | None] = {}
    if any(each.also_parts for each in touched):
        folded = await scene.folded_until()
    first_seen = {user_id: change.profile.first_seen for user_id, change in adopted.items()}
    arrived = await _arrivals(activity, first_seen, scene)
    moved = []
    for user_id, change in adopted.items():
        advanced = advance(change.profile, arrived[user_id], policies)
        if change.profile is not change.before:
            advanced = change.then(advanced)
        if user_id in merged:
            advanced = merged[user_id].then(advanced)
        moved.append(_settle(advanced, folded, scene))
    extended = [change.profile for change in moved if change.only_extended]
    saved = [change.profile for change in moved if not change.only_extended]
    if extended:
        await store.extend_users(extended, now=occasion.now)
    if saved:
        await store.save_users(saved, now=occasion.now)
    return [*moved, *(change for user_id, change in merged.items() if user_id not in activity)]


def _days(instants: Sequence[datetime], earliest: datetime, calendar: Calendar) -> Sequence[int]:
    first = calendar.day_of(earliest)
    if len(instants) == 1 or calendar.day_of(max(instants)) == first:
        return (first,)
    return list({calendar.day_of(instant) for instant in instants})


def _settle(change: Change, folded: Mapping[int, datetime | None], scene: Scene) -> Change:
    profile, until = change.profile, scene.occasion.watermark
    if profile.also_parts:
        until = reach_of(profile.part, profile.also_parts, folded, scene.occasion)
    return change if until is None else pass_time(change, until, scene.policies)


def _cause(activity: _Activity | None, at: datetime, live_window: timedelta) -> Cause | None:
    event = None if activity is None else activity.cause_of(at)
    if event is None:
        return None
    late = event.timestamp < event.received_at - live_window
    return Cause(event.source, event.event_id, historical=event.historical or late)
