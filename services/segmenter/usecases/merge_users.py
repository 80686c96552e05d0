"""Make one user of ids that events claim to be one, in the transaction that folds these events."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import NamedTuple, Protocol

from msgspec import structs

from services.segmenter.domain.active_days import ActiveDays
from services.segmenter.domain.identity import Claim
from services.segmenter.domain.merge import Activity, Keeper, made_of, taken_apart, together
from services.segmenter.domain.origin import Origin
from services.segmenter.domain.policy import Policies
from services.segmenter.domain.profile import Change, Profile
from services.segmenter.domain.spans import add_instants
from services.segmenter.usecases.adopt_policies import adopt_policies
from services.segmenter.usecases.judge_claims import Claims, Decision, Rejected, judge_claims
from services.segmenter.usecases.ports import EventKey, Locked, NoUser, Store
from services.segmenter.usecases.reach import FoldedUntil, reach_of
from services.segmenter.usecases.tell_channels import ChannelDesk
from services.segmenter.usecases.write_history import Occasion
from shared.kafka.partitioner import partition_of

MERGED = "merged into {}"
JOINED = "another id became this user's"
TORN = "an earlier claim says that its ids are others'"


class Done(NamedTuple):
    """One act of the event log: what counts as activity, under the id that it came with."""

    user_id: str
    at: datetime
    received_at: datetime


@dataclass(frozen=True, slots=True)
class Logged:
    """Where an event stands in the event log, and the client's own bytes of it."""

    part: int
    offset: int
    payload: bytes


@dataclass(frozen=True, slots=True)
class Merge:
    """That an id became another user's, by which claim, and what went with it: told to who audits.

    `into_user` is the id itself where it became a user of its own again.
    """

    absorbed: str
    into_user: str
    from_user: str
    claim: Claim
    events_moved: int
    steps_retracted: int
    steps_written: int


class Identities(Claims, Protocol):
    """Claims, and whose an id is, as one transaction sees them. Every method may raise StoreUnavailable."""

    async def bury(self, homes: Mapping[str, str], *, with_theirs: bool, now: datetime) -> None:
        """Make these locked ids others'; `with_theirs`: and the ids that were theirs with them."""
        ...

    async def vacate(self, rows: Mapping[str, NoUser], *, now: datetime) -> None:
        """Make these locked ids nobody's."""
        ...

    async def done(self, user_ids: Collection[str]) -> Sequence[Done]:
        """Return what the event log holds of these ids' activity."""
        ...

    async def origins(
        self, moments: Collection[tuple[str, datetime]]
    ) -> Mapping[str, Collection[Origin]]:
        """Return what the events of each id at that instant name."""
        ...

    async def logged(self, keys: Collection[EventKey]) -> Mapping[EventKey, Logged]:
        """Return where these events stand that were folded before."""
        ...

    async def note(self, merges: Sequence[Merge], *, now: datetime) -> None:
        """Keep for audits what was merged."""
        ...


@dataclass(frozen=True, slots=True)
class Merged:
    """What became of users by the claims of a batch, already saved; their history is not written yet."""

    locked: Locked
    changes: Mapping[str, Change] = field(default_factory=dict)
    gone: Sequence[Change] = ()
    rejected: Sequence[Rejected] = ()
    merges: Sequence[Merge] = ()

    @property
    def homes(self) -> dict[str, str]:
        """Return whose the users are now who are none any more."""
        return {
            each.profile.user_id: self.locked.root_of(each.profile.user_id) for each in self.gone
        }


@dataclass(frozen=True, slots=True)
class Scene:
    """What merging works with, besides the claims."""

    occasion: Occasion
    policies: Policies
    store: Store
    identities: Identities
    folded_until: FoldedUntil
    channels: ChannelDesk


async def merge_users(claims: Sequence[Claim], locked: Locked, scene: Scene) -> Merged:
    """Judge the claims, and make one user of all ids that are one by them.

    `locked` are the rows of the claims' ids, where there are any. Idempotent: known claims change nothing.
    """
    now = scene.occasion.now
    decision = await judge_claims(
        claims,
        locked,
        part=scene.occasion.part,
        now=now,
        store=scene.store,
        stored=scene.identities,
    )
    if decision.stored:
        await scene.identities.keep(decision.stored, now=now)
    members = _affected(decision)
    if not members:
        return Merged(decision.locked, rejected=decision.rejected)
    return await _regroup(decision, members, scene)


def _affected(decision: Decision) -> dict[str, set[str]]:
    """Return the users of whom more or less becomes part than was, each with all their ids."""
    torn = decision.torn()
    affected = {}
    for root, members in decision.members().items():
        were = {decision.locked.root_of(each) for each in members}
        if were != {root} or root in torn:
            affected[root] = members
    return affected


async def _regroup(decision: Decision, members: Mapping[str, set[str]], scene: Scene) -> Merged:
    locked, now = decision.locked, scene.occasion.now
    ids = {each for theirs in members.values() for each in theirs}
    known = [locked.profiles[each] for each in sorted(ids & locked.profiles.keys())]
    adopted = await adopt_policies(known, policies=scene.policies, store=scene.store)
    logged = await _logged(decision, members, scene)
    folded = await scene.folded_until()
    changes: dict[str, Change] = {}
    vacant: dict[str, NoUser] = {}
    for root, theirs in sorted(members.items()):
        keeper = _keeper(root, theirs, decision, partitions=max(folded, default=0) + 1)
        activity = logged[root] if root in logged else _sum(theirs, adopted, scene.policies)
        if activity is None:
            vacant[root] = NoUser("", keeper.revision + 1, keeper.part, keeper.also_parts)
            continue
        before = adopted.get(root)
        if before is not None:
            keeper = replace(keeper, revision=before.profile.revision)
        until = reach_of(keeper.part, keeper.also_parts, folded, scene.occasion)
        if before is not None and root not in logged:
            # What was passed already stays so, whatever other partitions still hold back.
            until = max(filter(None, (until, before.profile.settled)))
        change = made_of(
            activity,
            scene.policies,
            keeper=keeper,
            before=None if before is None else before.profile,
            until=until,
        )
        whole = change if before is None else before.then(change)
        changes[root] = structs.replace(whole, because=TORN if root in logged else JOINED)
    gone = {
        each.user_id: structs.replace(
            taken_apart(each, scene.policies), because=_why(each.user_id, decision)
        )
        for each in known
        if each.user_id not in changes
    }
    merges = _merges(decision, ids, changes=changes, gone=gone)
    buried = {each: decision.homes[each] for each in ids if decision.homes[each] != each}
    await _save(changes, buried, vacant, decision, scene)
    await scene.identities.note(merges, now=now)
    return Merged(
        _relocked(decision, changes, buried, vacant),
        changes,
        list(gone.values()),
        decision.rejected,
        merges,
    )


def _why(user_id: str, decision: Decision) -> str:
    home = decision.homes[user_id]
    return TORN if home == user_id else MERGED.format(home)


def _sum(
    members: Iterable[str], adopted: Mapping[str, Change], policies: Policies
) -> Activity | None:
    """Return what whole users did together."""
    parts = [Activity.of(adopted[each].profile) for each in members if each in adopted]
    return together(parts, grain=policies.grain) if parts else None


async def _logged(
    decision: Decision, members: Mapping[str, set[str]], scene: Scene
) -> dict[str, Activity | None]:
    """Return by the event log what users did who get or lose a part of another."""
    torn = decision.torn()
    partly = {
        root: theirs
        for root, theirs in members.items()
        if any(decision.locked.root_of(each) in torn for each in theirs)
    }
    if not partly:
        return {}
    done = await scene.identities.done({each for theirs in partly.values() for each in theirs})
    by_root: dict[str, list[Done]] = {root: [] for root in partly}
    for each in done:
        by_root[decision.homes[each.user_id]].append(each)
    firsts = _first_only(by_root)
    named = await scene.identities.origins(
        [(each.user_id, each.at) for theirs in firsts.values() for each in theirs]
    )
    found: dict[str, Activity | None] = dict.fromkeys(partly)
    for root, first in firsts.items():
        origin = await _least([name for each in first for name in named[each.user_id]], scene)
        found[root] = _activity(by_root[root], origin, scene)
    return found


async def _least(origins: Collection[Origin], scene: Scene) -> Origin:
    return await scene.channels.decided(lambda: scene.channels.least(origins))


def _first_only(by_root: Mapping[str, Sequence[Done]]) -> dict[str, list[Done]]:
    """Return the earliest acts of each user who did anything."""
    firsts = {}
    for root, done in by_root.items():
        if done:
            first = min(each.at for each in done)
            firsts[root] = [each for each in done if each.at == first]
    return firsts


def _activity(done: Sequence[Done], origin: Origin, scene: Scene) -> Activity:
    instants = [each.at for each in done]
    return Activity(
        add_instants((), instants, silent_after=scene.policies.grain),
        len(done),
        max(each.received_at for each in done),
        ActiveDays.of(scene.occasion.calendar.day_of(at) for at in instants),
        origin,
    )


def _keeper(root: str, members: Collection[str], decision: Decision, *, partitions: int) -> Keeper:
    """Return the row that a user is kept in, with every partition by which their events may come."""
    profiles, others = decision.locked.profiles, decision.locked.others
    comes_by = {each: partition_of(each.encode(), partitions) for each in members}
    row: Profile | NoUser | None = profiles.get(root) or others.get(root)
    assert row is not None  # noqa: S101  secured before the claim was judged
    part = row.part if root in profiles else comes_by[root]
    if len(members) == 1 and decision.overturns is not None:
        return Keeper(root, part, row.revision, ())
    rows = [profiles.get(each) or others[each] for each in members]
    also = {part, *comes_by.values(), *(one for each in rows for one in each.also_parts)}
    also |= {profiles[each].part for each in members if each in profiles}
    return Keeper(root, part, row.revision, tuple(sorted(also)))


def _merges(
    decision: Decision,
    ids: Iterable[str],
    *,
    changes: Mapping[str, Change],
    gone: Mapping[str, Change],
) -> list[Merge]:
    merges = []
    for each in sorted(ids):
        was, home = decision.locked.root_of(each), decision.homes[each]
        claim = decision.holding.get(each) or decision.overturns
        if was == home or claim is None:
            continue
        profile = decision.locked.profiles.get(each)
        into = changes.get(home)
        merges.append(
            Merge(
                each,
                home,
                was,
                claim,
                events_moved=0 if profile is None else profile.event_count,
                steps_retracted=len(gone[each].retracted) if each in gone else 0,
                steps_written=0 if into is None else len(into.written),
            )
        )
    return merges


async def _save(
    changes: Mapping[str, Change],
    buried: Mapping[str, str],
    vacant: Mapping[str, NoUser],
    decision: Decision,
    scene: Scene,
) -> None:
    now = scene.occasion.now
    if changes:
        await scene.store.save_users([each.profile for each in changes.values()], now=now)
    if buried:
        await scene.identities.bury(buried, with_theirs=decision.overturns is None, now=now)
    if vacant:
        await scene.identities.vacate(vacant, now=now)


def _relocked(
    decision: Decision,
    changes: Mapping[str, Change],
    buried: Mapping[str, str],
    vacant: Mapping[str, NoUser],
) -> Locked:
    """Return the locked rows as they are now."""
    locked = decision.locked
    others: dict[str, NoUser] = {}
    for user_id, other in locked.others.items():
        home = buried.get(other.merged_into)
        others[user_id] = other if home is None else replace(other, merged_into=home)
    for user_id, home in buried.items():
        row = locked.profiles.get(user_id) or locked.others[user_id]
        others[user_id] = NoUser(home, row.revision + 1, row.part, ())
    return Locked(dict(locked.profiles), others).and_also(
        Locked({root: each.profile for root, each in changes.items()}, dict(vacant))
    )
