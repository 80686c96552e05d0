"""Fold events into the funnels that they are steps of, in the transaction that found them fresh."""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Protocol
from uuid import UUID

import msgspec

from services.segmenter.domain.funnel import Funnel, Funnels, Properties
from services.segmenter.domain.funnel_depth import Added, Cell, DayOf, add
from services.segmenter.domain.funnel_marks import Mark, Marks, instant_of, mark_of
from shared.contracts.events import EventEnvelope

FunnelUser = tuple[int, str]  # funnel, user
FunnelCell = tuple[int, int, int]  # funnel, day, step

# Rows that are locked and reckoned at once: the server must not hear nothing for too long in between.
AT_ONCE = 1_000
JOBS_SHARD = 8  # lanes have the eight below

_decode = msgspec.json.Decoder(dict[str, object]).decode


@dataclass(frozen=True, slots=True)
class Row:
    """One user's marks of one funnel as stored; revision 0: not stored yet."""

    marks: Marks
    revision: int


NO_ROW = Row(Marks(), 0)


class FunnelStore(Protocol):
    """Funnels as one transaction sees them. Every method may raise StoreUnavailable."""

    async def definitions(self) -> tuple[UUID, Sequence[Funnel]]:
        """Return the funnels that count, and the version by which others can tell that they changed."""
        ...

    async def lock(self, keys: Collection[FunnelUser]) -> dict[FunnelUser, Row]:
        """Return those rows that exist, locked in the order of their keys."""
        ...

    async def write(self, rows: Mapping[FunnelUser, Row]) -> set[FunnelUser]:
        """Write the rows, each with its next revision, and return those that were.

        One without marks is removed. A row is left out where another transaction made it after `lock` did
        not find it.
        """
        ...

    async def count(self, delta: Mapping[FunnelCell, int], *, shard: int) -> None:
        """Add to the cells."""
        ...


class KnownFunnels:
    """The definitions as last read: a batch need only ask whether they are another version now."""

    def __init__(self) -> None:
        self._version: UUID | None = None
        self._funnels = Funnels()

    async def at(self, version: UUID, store: FunnelStore) -> Funnels:
        """Return the funnels of the version, or of a later one. Its reader sees what this one saw."""
        if version != self._version:
            self._version, funnels = await store.definitions()
            self._funnels = Funnels(funnels)
        return self._funnels


@dataclass(frozen=True, slots=True)
class Counting:
    """What counting needs besides the events: the funnels, the calendar and which shard to add to."""

    funnels: Funnels
    day_of: DayOf
    shard: int


async def fold_funnels(
    events: Iterable[EventEnvelope],
    counting: Counting,
    *,
    store: FunnelStore,
    merged: Mapping[str, str] | None = None,
) -> int:
    """Mark the events that are steps, and return how many were. Known ones change nothing.

    `merged`: id → the user that it belongs to, of those ids that were merged into another.
    """
    marks = marks_in(events, counting.funnels, merged=merged or {})
    if marks:
        await add_marks(marks, counting, store=store)
    return sum(map(len, marks.values()))


def marks_in(
    events: Iterable[EventEnvelope], funnels: Funnels, *, merged: Mapping[str, str]
) -> dict[FunnelUser, list[Mark]]:
    """Return what the events leave behind, by funnel and user."""
    found: dict[FunnelUser, list[Mark]] = {}
    for event in events:
        if event.name is None or not funnels.is_step(event.name):
            continue
        steps = funnels.steps_of(event.name, event.type, partial(properties_of, event))
        if not steps:
            continue
        at = instant_of(event.timestamp)
        user_id = merged.get(event.user_id, event.user_id)
        for funnel_id, bits in steps.items():
            mark = mark_of(at, bits, source=event.source, event_id=event.event_id)
            found.setdefault((funnel_id, user_id), []).append(mark)
    return found


def properties_of(event: EventEnvelope) -> Properties:
    """Return the event's properties; none where its payload has none that can be read."""
    try:
        given = _decode(event.payload).get("properties")
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        return {}
    return given if isinstance(given, dict) else {}


async def add_marks(
    marks: Mapping[FunnelUser, Sequence[Mark]], counting: Counting, *, store: FunnelStore
) -> None:
    """Add marks to users' rows, and to the cells what that changes."""
    delta: Counter[FunnelCell] = Counter()
    keys = sorted(marks)
    for start in range(0, len(keys), AT_ONCE):
        left = set(keys[start : start + AT_ONCE])
        while left:  # again for rows that others made meanwhile: they are there to be locked now
            left = await _add_some(left, marks, delta, counting, store=store)
    await count(delta, counting, store=store)


async def _add_some(
    keys: Collection[FunnelUser],
    marks: Mapping[FunnelUser, Sequence[Mark]],
    delta: Counter[FunnelCell],
    counting: Counting,
    *,
    store: FunnelStore,
) -> set[FunnelUser]:
    """Add to these rows and to the delta; return those that could not be written yet."""
    rows = await store.lock(keys)
    added: dict[FunnelUser, Added] = {}
    changed: dict[FunnelUser, Row] = {}
    for key in keys:
        row = rows.get(key, NO_ROW)
        funnel = counting.funnels.by_id[key[0]]
        each = add(row.marks, marks[key], funnel=funnel, day_of=counting.day_of)
        if each.marks != row.marks:
            added[key] = each
            changed[key] = Row(each.marks, row.revision)
    written = await store.write(changed) if changed else set()
    for key in written:
        collect(delta, key, added[key].delta)
    return changed.keys() - written


def collect(delta: Counter[FunnelCell], key: FunnelUser, of_user: Mapping[Cell, int]) -> None:
    """Add what changes for one user to what changes in all."""
    for (day, step), users in of_user.items():
        delta[key[0], day, step] += users


async def count(delta: Mapping[FunnelCell, int], counting: Counting, *, store: FunnelStore) -> None:
    """Add to the cells what does not cancel out."""
    changed = {cell: users for cell, users in delta.items() if users}
    if changed:
        await store.count(changed, shard=counting.shard)
