"""Replay the event log beside the stored users, and compare: users, transitions, counters.

The snapshot's three streams — rows, events, transitions — are read side by side in the order of their ids.
"""

from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from services.segmenter.domain.calendar import Calendar
from services.segmenter.domain.counters import Cells
from services.segmenter.domain.origin import Origin, least
from services.segmenter.domain.rebuilding import Found, Row, Times, Verdict, judge, policies_of
from services.segmenter.domain.replay import Deed, Replay, Replayed, count_share, steps_of
from services.segmenter.usecases.rebuild_ports import CellDifference, First, Shadow, Snapshot

PAGE = 1_000
# Cells in memory before they are added to the shadow's.
MOST_CELLS = 100_000


@dataclass(slots=True)
class Progress:
    """How far a rebuild is. `looked_at` are ids, some of which are other users'.

    Of those in `partly` the log lost the beginning, and of those in `skipped` it tells too little. Funnels that are
    still counted from the log are left out.
    """

    users: int = 0
    looked_at: int = 0
    events: int = 0
    partly: int = 0
    skipped: int = 0
    differing: int = 0
    marks_differing: int = 0
    funnels_left_out: Sequence[int] = ()


@dataclass(frozen=True, slots=True)
class Rules:
    """What a rebuild goes by: one snapshot's times, and the product's calendar."""

    times: Times
    calendar: Calendar


@dataclass(slots=True)
class _Shares:
    """What users contribute to the counts: as the log says, and what their rows say beyond it."""

    calendar: Calendar
    times: Times
    right: Cells = field(default_factory=Cells)
    beyond: Cells = field(default_factory=Cells)

    def add(self, verdict: Verdict) -> None:
        """Whom the log no longer holds counts as stored. Whose row agrees says nothing beyond the log."""
        stored, rebuilt = verdict.found.stored, verdict.rebuilt
        if rebuilt is not None:
            count_share(rebuilt.profile, rebuilt.steps, self.calendar, self.right)
        if verdict.differs and rebuilt is not None:
            count_share(rebuilt.profile, rebuilt.steps, self.calendar, self.beyond, gone=True)
        if stored is not None and (verdict.differs or verdict.skipped):
            into = self.right if verdict.skipped else self.beyond
            count_share(stored, steps_of(stored, self.times.policies), self.calendar, into)

    def is_full(self) -> bool:
        return sum(
            len(each) for each in (self.right.active, self.right.retained, self.right.flows)
        ) >= (MOST_CELLS)


class Reader:
    """Reads users out of a snapshot, each with all that belongs to them."""

    def __init__(
        self, snapshot: Snapshot, rules: Rules, *, user_ids: Collection[str] | None = None
    ) -> None:
        self._snapshot = snapshot
        self._rules = rules
        self._user_ids = user_ids
        self._deeds = _Deeds(snapshot.deeds(user_ids))
        self.events = 0

    async def pages(self) -> AsyncIterator[Sequence[Found]]:
        """Yield every user, whether a row, an event, a transition or a claim tells of them."""
        behind = ""
        while True:
            rows = await self._snapshot.rows(behind, limit=PAGE, user_ids=self._user_ids)
            until = rows[-1].user_id if len(rows) == PAGE else None
            yield await self._page(rows, behind, until)
            if until is None:
                return
            behind = until

    async def _page(self, rows: Sequence[Row], behind: str, until: str | None) -> list[Found]:
        by_id = {row.user_id: row for row in rows}
        standing = await self._snapshot.standing(behind, until=until, user_ids=self._user_ids)
        replays = await self._replays(by_id, until)
        claimed = await self._snapshot.claimed(behind, until=until, user_ids=self._user_ids)
        ids = by_id.keys() | replays.keys() | standing.keys() | set(claimed)
        homes = await self._snapshot.homes(ids)
        other_ids = await self._snapshot.other_ids(ids - homes.keys())
        await self._add_others(other_ids, by_id, replays)
        replays = {each: replay for each, replay in replays.items() if each not in homes}
        origins = await self._snapshot.origins(
            {first for replay in replays.values() for first in replay.firsts}
        )
        return [
            Found(
                user_id,
                by_id.get(user_id),
                replay.result() if (replay := replays.get(user_id)) else None,
                _least(replay, origins) if replay else Origin(),
                standing.get(user_id, ()),
                homes.get(user_id),
                other_ids.get(user_id, ()),
            )
            for user_id in sorted(ids)
        ]

    async def _replays(self, rows: Mapping[str, Row], until: str | None) -> "dict[str, _Replays]":
        replays: dict[str, _Replays] = {}
        async for user_id, deeds in self._deeds.up_to(until):
            self.events += len(deeds)
            if user_id not in replays:
                replays[user_id] = self._replay(rows.get(user_id))
            replays[user_id].add(user_id, deeds)
        return replays

    async def _add_others(
        self,
        other_ids: Mapping[str, Sequence[str]],
        rows: Mapping[str, Row],
        replays: "dict[str, _Replays]",
    ) -> None:
        """Replay what was done under other ids of a user as the user's own."""
        for user_id, others in other_ids.items():
            replay = replays.get(user_id) or self._replay(rows.get(user_id))
            async for other, deeds in self._snapshot.deeds(others):
                replay.add(other, deeds)
            if replay.result() is not None:
                replays[user_id] = replay

    def _replay(self, row: Row | None) -> "_Replays":
        known = policies_of(None if row is None else row.profile, self._rules.times.policies)
        return _Replays(known.grain, self._rules.calendar)


class _Replays:
    """One user's events, under whatever ids, with the places of the first ones."""

    def __init__(self, grain: timedelta, calendar: Calendar) -> None:
        self._replay = Replay(grain=grain, calendar=calendar)
        self.firsts: set[First] = set()

    def add(self, user_id: str, deeds: Sequence[Deed]) -> None:
        self._replay.add(deeds)
        first = self._replay.first
        self.firsts = {each for each in self.firsts if each.at == first} | {
            First(user_id, deed.at, deed.received_at) for deed in deeds if deed.at == first
        }

    def result(self) -> Replayed | None:
        return self._replay.result()


class _Deeds:
    """The stream of events, of which a page takes those up to its last user."""

    def __init__(self, stream: AsyncIterator[tuple[str, Sequence[Deed]]]) -> None:
        self._stream = stream
        self._ahead: tuple[str, Sequence[Deed]] | None = None

    async def up_to(self, until: str | None) -> AsyncIterator[tuple[str, Sequence[Deed]]]:
        while True:
            piece = self._ahead or await anext(self._stream, None)
            self._ahead = None
            if piece is None:
                return
            if until is not None and piece[0] > until:
                self._ahead = piece
                return
            yield piece


async def compare_users(
    reader: Reader,
    rules: Rules,
    *,
    shadow: Shadow,
    now: datetime,
    tell: Callable[[Progress, Sequence[Verdict]], None],
) -> Progress:
    """Compare every user, write what the log says into the shadow, and tell of those who differ."""
    progress = Progress()
    shares = _Shares(rules.calendar, rules.times)
    async for page in reader.pages():
        verdicts = [judge(found, rules.times, rules.calendar) for found in page]
        differing = [each for each in verdicts if each.differs]
        await shadow.add_users([each.rebuilt for each in verdicts if each.rebuilt], now=now)
        await shadow.note_differing([each.found.user_id for each in differing])
        for verdict in verdicts:
            shares.add(verdict)
        if shares.is_full():
            await shadow.count(shares.right, shares.beyond)
            shares = _Shares(rules.calendar, rules.times)
        progress.looked_at += len(page)
        progress.users += sum(each.rebuilt is not None or each.skipped for each in verdicts)
        progress.events = reader.events
        progress.partly += sum(each.partly for each in verdicts)
        progress.skipped += sum(each.skipped for each in verdicts)
        progress.differing += len(differing)
        tell(progress, differing)
    await shadow.count(shares.right, shares.beyond)
    return progress


async def compare_cells(
    shadow: Shadow, *, swap_in: str | None, tell: Callable[[Sequence[CellDifference]], None]
) -> None:
    """Compare every cell of the counters. In the zone `swap_in` the drift is taken out of the live ones."""
    async for cells in shadow.cells():
        tell([each for each in cells if each.differs])
        if swap_in is not None:
            await shadow.correct(cells, zone=swap_in)


def _least(replay: "_Replays", origins: Mapping[First, Origin]) -> Origin:
    named = [origins[first] for first in replay.firsts if first in origins]
    return least(named) if named else Origin()
