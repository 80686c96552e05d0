"""Replay the steps of funnels into a shadow, and compare: every user's marks, and what they come to on each day."""

from collections import Counter
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Protocol

from services.segmenter.domain.calendar import Calendar
from services.segmenter.domain.funnel import Funnels
from services.segmenter.domain.funnel_depth import DayOf, Depths, contribution, difference
from services.segmenter.domain.funnel_judging import Measure, right_marks
from services.segmenter.domain.funnel_marks import Mark, Marks, instant_of
from services.segmenter.domain.rebuilding import AHEAD
from services.segmenter.usecases.fold_funnels import FunnelCell, FunnelUser, collect, marks_in
from shared.contracts.events import EventEnvelope


@dataclass(frozen=True, slots=True)
class Defined:
    """The funnels of one snapshot: those that are counted to the end, and those that are still counted from the log."""

    funnels: Funnels
    unfinished: Sequence[int]


@dataclass(frozen=True, slots=True)
class Pair:
    """One user's marks of one funnel, as stored and as the log says. `stored` None: they can't be read."""

    key: FunnelUser
    stored: Marks | None
    logged: Marks


@dataclass(frozen=True, slots=True)
class MarksDifference:
    """Marks that only one side has; and where both have the same ones, the depths in which they differ.

    `unreadable`: what is stored can't be read, and counts as nothing.
    """

    key: FunnelUser
    stored: Sequence[Mark]
    rebuilt: Sequence[Mark]
    stored_depths: Depths
    rebuilt_depths: Depths
    unreadable: bool = False


class StepSnapshot(Protocol):
    """The live tables as of one instant. Every method may raise StoreUnavailable."""

    async def funnels(self) -> Defined: ...

    def steps(self, funnels: Funnels) -> AsyncIterator[Sequence[EventEnvelope]]:
        """Yield the events that have the name of a step, by the ids that they name, a bounded number at a time."""
        ...

    async def homes(self, user_ids: Collection[str]) -> Mapping[str, str]:
        """Return id → whose it is, of those ids that are another user's by the claims that hold."""
        ...


class MarksShadow(Protocol):
    """The funnels' tables of the schema `rebuild`. Every method may raise StoreUnavailable."""

    async def add_marks(
        self, marks: Mapping[FunnelUser, Sequence[Mark]], funnels: Funnels, day_of: DayOf
    ) -> None:
        """Add marks that the log says, and what they count."""
        ...

    def pairs(self, funnel_ids: Collection[int]) -> AsyncIterator[Sequence[Pair]]:
        """Yield all marks of these funnels on which the two sides do not agree to the byte, some at a time."""
        ...

    async def count_marks(
        self, right: Mapping[FunnelCell, int], beyond: Mapping[FunnelCell, int]
    ) -> None:
        """Add to what the log says, and to what stored marks say beyond it."""
        ...

    async def note_marks(self, keys: Sequence[FunnelUser]) -> None:
        """Note whose marks differ."""
        ...


@dataclass(slots=True)
class FunnelProgress:
    """What the comparison came to: users' marks that differ, and the funnels that were left out."""

    differing: int = 0
    left_out: Sequence[int] = ()


@dataclass(slots=True)
class _Shares:
    right: Counter[FunnelCell] = field(default_factory=Counter)
    beyond: Counter[FunnelCell] = field(default_factory=Counter)


async def compare_marks(
    snapshot: StepSnapshot,
    shadow: MarksShadow,
    calendar: Calendar,
    *,
    held_since: datetime | None,
    tell: Callable[[Sequence[MarksDifference]], None],
) -> FunnelProgress:
    """Write what the log says into the shadow, and tell of every user's marks that differ.

    Of a funnel that is still counted from the log nothing can be said.
    """
    defined = await snapshot.funnels()
    progress = FunnelProgress(left_out=defined.unfinished)
    if not defined.funnels.by_id:
        return progress
    day_of = calendar.day_of_microsecond
    async for events in snapshot.steps(defined.funnels):
        homes = await snapshot.homes({event.user_id for event in events})
        marks = marks_in(events, defined.funnels, merged=homes)
        await shadow.add_marks(marks, defined.funnels, day_of)
    since = None if held_since is None else instant_of(held_since + AHEAD)
    measures = {
        funnel_id: Measure(funnel, day_of, since)
        for funnel_id, funnel in defined.funnels.by_id.items()
    }
    async for pairs in shadow.pairs(defined.funnels.by_id):
        shares = _Shares()
        homes = await snapshot.homes({pair.key[1] for pair in pairs})
        judged = [_judge(pair, _measure_of(pair, measures, homes), shares) for pair in pairs]
        differing = [each for each in judged if each is not None]
        await shadow.count_marks(shares.right, shares.beyond)
        await shadow.note_marks([each.key for each in differing])
        progress.differing += len(differing)
        tell(differing)
    return progress


def _measure_of(pair: Pair, measures: Mapping[int, Measure], homes: Mapping[str, str]) -> Measure:
    """Return how to judge a pair: an id that is another user's has no marks, whatever the log lost."""
    funnel_id, user_id = pair.key
    measure = measures[funnel_id]
    return replace(measure, since=None) if user_id in homes else measure


def _judge(pair: Pair, measure: Measure, shares: _Shares) -> MarksDifference | None:
    """Return the difference, None where there is none; add what the shadow does not say yet to the shares."""
    stored_marks = Marks() if pair.stored is None else pair.stored
    right = right_marks(stored_marks, pair.logged, measure)
    wanted = _depths(right, measure)
    logged = _depths(pair.logged, measure)
    collect(shares.right, pair.key, difference(logged, wanted))
    if pair.stored is None:
        collect(shares.beyond, pair.key, difference(wanted, {}))
        return MarksDifference(pair.key, (), right.marks, {}, {}, unreadable=True)
    if right is pair.stored:
        return None
    stored = _depths(pair.stored, measure)
    collect(shares.beyond, pair.key, difference(wanted, stored))
    only_stored = sorted({*pair.stored.marks} - {*right.marks})
    only_right = sorted({*right.marks} - {*pair.stored.marks})
    if only_stored or only_right:
        return MarksDifference(pair.key, only_stored, only_right, {}, {})
    return MarksDifference(pair.key, (), (), _without(stored, wanted), _without(wanted, stored))


def _depths(marks: Marks, measure: Measure) -> Depths:
    return contribution(marks, funnel=measure.funnel, day_of=measure.day_of)


def _without(depths: Depths, others: Depths) -> Depths:
    return {day: depth for day, depth in sorted(depths.items()) if others.get(day) != depth}
