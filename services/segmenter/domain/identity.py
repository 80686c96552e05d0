"""Whose an id is: what events claim of each other's ids, and the users that follow from all claims together.

The claims that hold are a function of the set of claims: it does not matter in which order they become known.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from shared.vocabulary import LONGEST_ID, is_junk_id


class ClaimFault(StrEnum):
    """Why a claim does not hold."""

    MISSING_ID = "missing_id"
    ID_TOO_LONG = "id_too_long"
    NUL_CHARACTER = "nul_character"
    JUNK_ID = "junk_id"
    SELF_MERGE = "self_merge"
    CLAIMED_BY_ANOTHER = "claimed_by_another"
    MERGE_CYCLE = "merge_cycle"
    TOO_LATE = "too_late"


# Of a claim by itself, whatever the others say. Such a claim is never looked at again.
INTRINSIC = frozenset(
    {
        ClaimFault.MISSING_ID,
        ClaimFault.ID_TOO_LONG,
        ClaimFault.NUL_CHARACTER,
        ClaimFault.JUNK_ID,
        ClaimFault.SELF_MERGE,
    }
)

Key = tuple[datetime, str, str, str, str]
Pair = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Claim:
    """One event's word that `claimed` is an id of the user `target`."""

    claimed: str
    target: str
    at: datetime
    source: str
    event_id: str

    @property
    def key(self) -> Key:
        """Where it stands among all claims: of two that contradict each other the earlier one holds."""
        return self.at, self.source, self.event_id, self.claimed, self.target

    @property
    def event_key(self) -> tuple[str, str]:
        return self.source, self.event_id

    @property
    def pair(self) -> Pair:
        return self.claimed, self.target


@dataclass(frozen=True, slots=True)
class Stored(Claim):
    """A claim with what was found of it when it was judged. `fault` None: it holds.

    Whether it holds follows from all claims; by which of two faults it does not, from what was known by then.
    """

    fault: ClaimFault | None

    @classmethod
    def of(cls, claim: Claim, fault: ClaimFault | None) -> "Stored":
        return cls(claim.claimed, claim.target, claim.at, claim.source, claim.event_id, fault)

    @property
    def holds(self) -> bool:
        return self.fault is None


@dataclass(frozen=True, slots=True)
class Resolved:
    """The claims that hold, by the id they claim, and why the others do not."""

    parents: Mapping[str, Claim]
    rejected: Mapping[Pair, ClaimFault]

    def root_of(self, user_id: str) -> str:
        """Return the user to whom an id belongs."""
        while (claim := self.parents.get(user_id)) is not None:
            user_id = claim.target
        return user_id


def fault_of(claimed: str, target: str) -> ClaimFault | None:
    """Return what is wrong with a claim by itself."""
    for each in (claimed, target):
        if not each.strip():
            return ClaimFault.MISSING_ID
        if len(each) > LONGEST_ID:
            return ClaimFault.ID_TOO_LONG
        if "\x00" in each:
            return ClaimFault.NUL_CHARACTER
        if is_junk_id(each):
            return ClaimFault.JUNK_ID
    return ClaimFault.SELF_MERGE if claimed == target else None


def earliest(claims: Iterable[Claim]) -> dict[Pair, Claim]:
    """Return the first claim of each pair of ids: those that say the same again change nothing."""
    first: dict[Pair, Claim] = {}
    for claim in claims:
        known = first.get(claim.pair)
        if known is None or claim.key < known.key:
            first[claim.pair] = claim
    return first


def resolve(claims: Iterable[Claim]) -> Resolved:
    """Return which claims hold: the earliest first, unless the id has a user already or they went in a circle."""
    parents: dict[str, Claim] = {}
    rejected: dict[Pair, ClaimFault] = {}
    roots = _Roots()
    for claim in sorted(earliest(claims).values(), key=lambda each: each.key):
        fault = fault_of(claim.claimed, claim.target)
        if fault is None and claim.claimed in parents:
            fault = ClaimFault.CLAIMED_BY_ANOTHER
        if fault is None and roots.of(claim.target) == claim.claimed:
            fault = ClaimFault.MERGE_CYCLE
        if fault is not None:
            rejected[claim.pair] = fault
            continue
        parents[claim.claimed] = claim
        roots.join(claim.claimed, claim.target)
    return Resolved(parents, rejected)


def judge(
    claim: Claim, *, holding: Claim | None, root_of_target: str
) -> tuple[bool, ClaimFault | None]:
    """Judge a claim that became known now by what holds already; return whether that can be said, and its fault.

    `holding` is the claim that gave the id its user. False: the claim overturns another one, or is part of a
    circle; only all claims together tell.
    """
    if holding is not None and holding.key < claim.key:
        # Whatever is later than what holds does not change it.
        return True, ClaimFault.CLAIMED_BY_ANOTHER
    if holding is None and root_of_target != claim.claimed:
        # All that holds goes in no circle with it, and so no part of it ever did.
        return True, None
    return False, None


class _Roots:
    """Roots with shortened ways, so that a long chain of ids is no trouble."""

    def __init__(self) -> None:
        self._next: dict[str, str] = {}

    def of(self, user_id: str) -> str:
        way = []
        while (behind := self._next.get(user_id)) is not None:
            way.append(user_id)
            user_id = behind
        for each in way:
            self._next[each] = user_id
        return user_id

    def join(self, claimed: str, target: str) -> None:
        self._next[claimed] = self.of(target)
