"""Judge what the events of a batch claim of each other's ids, by all that was claimed before."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from services.segmenter.domain.identity import (
    Claim,
    ClaimFault,
    Stored,
    earliest,
    fault_of,
    judge,
    resolve,
)
from services.segmenter.usecases.ports import Locked, Store
from shared.contracts.events import EventEnvelope
from shared.vocabulary import EventType

# Of so many claims that hang together no earlier one is overturned any more: it would take too long.
MOST_TOGETHER = 10_000
# Nor are users torn apart of whom there are so many events: all are read in the batch's transaction, and one
# that takes too long is cut off, however often it is tried.
MOST_EVENTS = 20_000


class Claims(Protocol):
    """What was claimed, as one transaction sees it. Every method may raise StoreUnavailable."""

    async def secure(self, user_ids: Collection[str], *, part: int, now: datetime) -> None:
        """Add rows of nobody for ids that have none, so that there is something to lock."""
        ...

    async def about(self, claims: Collection[Claim]) -> Sequence[Stored]:
        """Return the stored claims of the same pairs, and those that hold for the claimed ids."""
        ...

    async def connected(self, user_ids: Collection[str], *, limit: int) -> Sequence[Stored] | None:
        """Return all claims that hang together with these ids; None where they are more than the limit.

        Claims that came too late are none of them.
        """
        ...

    async def keep(self, claims: Sequence[Stored], *, now: datetime) -> None:
        """Keep claims, each in place of the one of its pair."""
        ...

    async def held_since(self) -> datetime | None:
        """Return since when the event log holds everything that happened; None: always."""
        ...


@dataclass(frozen=True, slots=True)
class Rejected:
    """A claim of the batch that does not hold, or an earlier batch's that held until this one."""

    claim: Claim
    fault: ClaimFault


@dataclass(frozen=True, slots=True)
class Decision:
    """What became of the batch's claims.

    `homes`: every id that it concerns → whose it is from now on. Where nothing is overturned these are users
    only, and the ids that were theirs go with them. `holding`: the claims by which they are.
    """

    locked: Locked
    rejected: Sequence[Rejected] = ()
    stored: Sequence[Stored] = ()
    homes: Mapping[str, str] = field(default_factory=dict)
    holding: Mapping[str, Claim] = field(default_factory=dict)
    overturns: Claim | None = None

    def members(self) -> dict[str, set[str]]:
        """Return each user with the ids that are theirs."""
        found: dict[str, set[str]] = defaultdict(set)
        for user_id, home in self.homes.items():
            found[home].add(user_id)
        return found

    def torn(self) -> set[str]:
        """Return the users some of whose ids become another's and some do not."""
        homes: dict[str, set[str]] = defaultdict(set)
        for user_id, home in self.homes.items():
            homes[self.locked.root_of(user_id)].add(home)
        return {root for root, others in homes.items() if len(others) > 1}

    def counted_anew(self) -> set[str]:
        """Return the users whose events must be told apart: the torn ones, and whom their ids go together with."""
        torn, found = self.torn(), set()
        for members in self.members().values():
            were = {self.locked.root_of(each) for each in members}
            if were & torn:
                found |= were
        return found


def claims_of(events: Iterable[EventEnvelope]) -> list[Claim]:
    """Return what identify and alias say of ids. Other events that carry two ids say nothing."""
    found = []
    for event in events:
        claimed: str | None
        if event.type is EventType.IDENTIFY and event.anonymous_id not in (None, event.user_id):
            claimed = event.anonymous_id
        elif event.type is EventType.ALIAS:
            claimed = event.previous_id
        else:
            continue
        if claimed is not None:
            found.append(
                Claim(claimed, event.user_id, event.timestamp, event.source, event.event_id)
            )
    return found


def ids_in(claims: Iterable[Claim]) -> set[str]:
    """Return the ids that the claims are about, without those that no claim can be about."""
    sound = [each for each in claims if fault_of(each.claimed, each.target) is None]
    return {user_id for each in sound for user_id in each.pair}


async def ids_concerned(claims: Iterable[Claim], *, stored: Claims) -> set[str]:
    """Return the ids that the claims are about, and those that hang together with them as far as is known.

    A claim may overturn others, and then all of these are locked. Not before it is told that it does: whoever locks
    some users, and more of them later, meets others who do so the other way round, and one of both is cut off. Where
    they are more than may be overturned, no claim of them locks any more.
    """
    ids = ids_in(claims)
    found = await stored.connected(ids, limit=MOST_TOGETHER) if ids else ()
    return ids.union(*(each.pair for each in found or ()))


async def judge_claims(
    claims: Sequence[Claim],
    locked: Locked,
    *,
    part: int,
    now: datetime,
    store: Store,
    stored: Claims,
) -> Decision:
    """Say which of the claims hold, and whose each id is by them. `locked` holds the rows that there are."""
    faults = {each.pair: fault_of(*each.pair) for each in claims}
    first = earliest(claims)
    rejected = [Rejected(first[pair], fault) for pair, fault in faults.items() if fault is not None]
    sound = {pair: each for pair, each in first.items() if faults[pair] is None}
    if not sound:
        return Decision(locked, rejected)
    missing = ids_in(sound.values()) - locked.ids()
    if missing:
        await stored.secure(missing, part=part, now=now)
        locked = locked.and_also(await store.lock(missing))
    known = _Known.of(await stored.about(sound.values()))
    new = sorted(filter(known.is_news, sound.values()), key=lambda each: each.key)
    if not new:
        return Decision(locked, rejected)
    decision = _one_by_one(new, known, locked, rejected)
    if decision is None:
        decision = await _all_together(new, locked, rejected, store=store, stored=stored)
    if decision is None:
        decision = _one_by_one(new, known, locked, rejected, too_late=True)
        assert decision is not None  # noqa: S101  nothing is left untold
    return decision


@dataclass(slots=True)
class _Known:
    by_pair: dict[tuple[str, str], Stored]
    holding: dict[str, Claim]

    @classmethod
    def of(cls, stored: Iterable[Stored]) -> "_Known":
        each = list(stored)
        return cls({one.pair: one for one in each}, {one.claimed: one for one in each if one.holds})

    def is_news(self, claim: Claim) -> bool:
        known = self.by_pair.get(claim.pair)
        return known is None or claim.key < known.key


def _one_by_one(
    new: Sequence[Claim],
    known: _Known,
    locked: Locked,
    rejected: Sequence[Rejected],
    *,
    too_late: bool = False,
) -> Decision | None:
    """Judge each claim by those that hold; None where that does not tell, unless it is too late for that."""
    moved: dict[str, str] = {}
    holding = dict(known.holding)
    verdicts = []

    def root_of(user_id: str) -> str:
        root = locked.root_of(user_id)
        while root in moved:
            root = moved[root]
        return root

    for claim in new:
        stored = known.by_pair.get(claim.pair)
        told, fault = True, None
        if stored is None or not stored.holds:
            told, fault = judge(
                claim, holding=holding.get(claim.claimed), root_of_target=root_of(claim.target)
            )
            if told and fault is None:
                moved[claim.claimed] = root_of(claim.target)
        if not told and not too_late:
            return None
        fault = fault if told else ClaimFault.TOO_LATE
        if fault is None:
            holding[claim.claimed] = claim
        verdicts.append(Stored.of(claim, fault))
    homes = {old: root_of(old) for old in moved}
    homes |= {home: home for home in homes.values()}
    return Decision(
        locked,
        [*rejected, *_rejected(verdicts)],
        verdicts,
        homes,
        {one: holding[one] for one in moved},
    )


async def _all_together(
    new: Sequence[Claim],
    locked: Locked,
    rejected: Sequence[Rejected],
    *,
    store: Store,
    stored: Claims,
) -> Decision | None:
    """Judge all claims anew that hang together with these; None where it is too late for that."""
    wanted = ids_in(new)
    while True:
        found = await stored.connected(wanted, limit=MOST_TOGETHER)
        if found is None:
            return None
        wanted |= {user_id for each in found for user_id in each.pair}
        if wanted <= locked.ids():
            break
        locked = locked.and_also(await store.lock(wanted - locked.ids()))
    resolved = resolve([*found, *new])
    before = {each.pair: each for each in found}
    verdicts = [
        Stored.of(claim, resolved.rejected.get(pair))
        for pair, claim in earliest([*found, *new]).items()
    ]
    news = {each.pair for each in new} | {pair for pair, each in before.items() if each.holds}
    decision = Decision(
        locked,
        [*rejected, *_rejected(each for each in verdicts if each.pair in news)],
        [each for each in verdicts if each != before.get(each.pair)],
        {user_id: resolved.root_of(user_id) for user_id in wanted},
        resolved.parents,
        overturns=new[0],
    )
    return decision if await _can_be_told_apart(decision, stored=stored) else None


async def _can_be_told_apart(decision: Decision, *, stored: Claims) -> bool:
    """Say whether the event log holds all that was done by users who are torn apart, and can be read at once."""
    profiles = decision.locked.profiles
    concerned = decision.counted_anew() & profiles.keys()
    if sum(profiles[each].event_count for each in concerned) > MOST_EVENTS:
        return False
    torn = [profiles[each] for each in decision.torn() & profiles.keys()]
    if not torn:
        return True
    since = await stored.held_since()
    return since is None or all(each.first_seen >= since for each in torn)


def _rejected(verdicts: Iterable[Stored]) -> list[Rejected]:
    return [Rejected(each, each.fault) for each in verdicts if each.fault is not None]
