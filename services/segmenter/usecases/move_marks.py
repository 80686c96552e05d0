"""Count users' marks anew once it is known whose they are: ids that were merged, users rebuilt from the log."""

from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Protocol

from services.segmenter.domain.funnel import Funnel, Funnels
from services.segmenter.domain.funnel_depth import Cell, contribution, difference, thinned
from services.segmenter.domain.funnel_judging import Measure, right_marks
from services.segmenter.domain.funnel_marks import Marks
from services.segmenter.usecases.fold_funnels import (
    NO_ROW,
    Counting,
    FunnelCell,
    FunnelStore,
    FunnelUser,
    Row,
    collect,
    count,
    marks_in,
)
from services.segmenter.usecases.merge_users import Merge
from shared.contracts.events import EventEnvelope


class StepLog(Protocol):
    """What the event log holds of users' steps. Every method may raise StoreUnavailable."""

    async def ids_of(self, user_id: str) -> Sequence[str]:
        """Return all ids that are the user's; none where they are no user any more."""
        ...

    async def steps_of(
        self, user_ids: Collection[str], *, funnels: Funnels, most: int | None = None
    ) -> Sequence[EventEnvelope]:
        """Return what came under these ids and has the name of a step of one of the funnels; no more than `most`."""
        ...


async def follow_merges(
    merges: Sequence[Merge], counting: Counting, *, store: FunnelStore, log: StepLog
) -> None:
    """Count anew for whom ids became another user's; the users are locked, and their events logged.

    Where a whole user goes, their marks go with them. A mark does not say under which id it came: where an
    id is taken from a user, all who are concerned are counted by the log.
    """
    if all(each.absorbed == each.from_user for each in merges):
        for each in merges:
            await merge_marks(each.into_user, each.absorbed, counting, store=store)
        return
    for user_id in sorted({user for each in merges for user in (each.from_user, each.into_user)}):
        ids = await log.ids_of(user_id)
        events = await log.steps_of(ids, funnels=counting.funnels) if ids else ()
        await replace_marks(user_id, events, counting, store=store)


async def merge_marks(root: str, absorbed: str, counting: Counting, *, store: FunnelStore) -> None:
    """Give the marks of an absorbed id to the user that it belongs to, in the merge's transaction."""
    left = set(counting.funnels.by_id)
    while left:  # again for rows that a back-fill made meanwhile
        rows = await store.lock([(each, user) for each in left for user in (root, absorbed)])
        wanted: dict[FunnelUser, Marks] = {}
        for funnel_id, user_id in rows:
            if user_id == absorbed:
                of_root = rows.get((funnel_id, root), NO_ROW).marks
                wanted[funnel_id, root] = of_root.union(rows[funnel_id, absorbed].marks)
        written = await _replace(wanted, rows, counting, store=store)
        left = {funnel_id for funnel_id, _ in wanted.keys() - written}
        moved = {(funnel_id, absorbed): Marks() for funnel_id, _ in written}
        await _replace(moved, rows, counting, store=store)


async def replace_marks(
    user_id: str, events: Sequence[EventEnvelope], counting: Counting, *, store: FunnelStore
) -> None:
    """Count the user by these events alone: all that are theirs, under whichever id."""
    await _count_by(user_id, events, counting, right=_as_logged, store=store)


async def mend_marks(
    user_id: str,
    events: Sequence[EventEnvelope],
    counting: Counting,
    *,
    since: int | None,
    store: FunnelStore,
) -> None:
    """Make the user's marks what these events say, all that the log still holds of them; the user is locked.

    `since` as of `Measure`.
    """

    def right(funnel: Funnel, stored: Marks, logged: Marks) -> Marks:
        return right_marks(stored, logged, Measure(funnel, counting.day_of, since))

    await _count_by(user_id, events, counting, right=right, store=store)


# Of a funnel, from the marks as stored and as the events say: the marks that should be stored, the stored ones
# themselves where they are right.
_Right = Callable[[Funnel, Marks, Marks], Marks]


def _as_logged(_funnel: Funnel, _stored: Marks, logged: Marks) -> Marks:
    return logged


async def _count_by(
    user_id: str,
    events: Sequence[EventEnvelope],
    counting: Counting,
    *,
    right: _Right,
    store: FunnelStore,
) -> None:
    theirs = dict.fromkeys((event.user_id for event in events), user_id)
    logged = marks_in(events, counting.funnels, merged=theirs)
    # One after the other: the server must not hear nothing while the marks of many are reckoned.
    for funnel_id, funnel in sorted(counting.funnels.by_id.items()):
        left = {(funnel_id, user_id)}
        while left:  # again for rows that a back-fill made meanwhile
            rows = await store.lock(left)
            wanted: dict[FunnelUser, Marks] = {}
            for key in left & (rows.keys() | logged.keys()):
                stored = rows.get(key, NO_ROW).marks
                marks = right(funnel, stored, Marks().with_(logged.get(key, ())))
                if marks is not stored:
                    wanted[key] = marks
            left = wanted.keys() - await _replace(wanted, rows, counting, store=store)


async def _replace(
    wanted: Mapping[FunnelUser, Marks],
    rows: Mapping[FunnelUser, Row],
    counting: Counting,
    *,
    store: FunnelStore,
) -> set[FunnelUser]:
    """Put marks in place of those of the locked rows, count the difference, and return whose it was."""
    if not wanted:
        return set()
    deltas: dict[FunnelUser, Mapping[Cell, int]] = {}
    new: dict[FunnelUser, Row] = {}
    for key, marks in wanted.items():
        funnel, row = counting.funnels.by_id[key[0]], rows.get(key, NO_ROW)
        kept = thinned(marks, funnel=funnel, day_of=counting.day_of)
        deltas[key] = difference(
            contribution(row.marks, funnel=funnel, day_of=counting.day_of),
            contribution(kept, funnel=funnel, day_of=counting.day_of),
        )
        new[key] = Row(kept, row.revision)
    written = await store.write(new)
    delta: Counter[FunnelCell] = Counter()
    for key in written:
        collect(delta, key, deltas[key])
    await count(delta, counting, store=store)
    return written
