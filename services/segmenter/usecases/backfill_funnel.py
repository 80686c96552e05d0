"""Count a new funnel from the event log, in small transactions, while the lanes count what comes.

The lanes count for a funnel from the moment its definition is committed. Once every transaction that began
before has ended, the log holds all that they did not count. What both count is counted once: marks are a set.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final, Protocol

import msgspec

from services.segmenter.domain.funnel import Funnel, Funnels
from services.segmenter.domain.funnel_depth import DayOf
from services.segmenter.usecases.fold_funnels import (
    JOBS_SHARD,
    Counting,
    FunnelStore,
    add_marks,
    marks_in,
)
from services.segmenter.usecases.move_marks import merge_marks
from shared.contracts.events import EventEnvelope

# Pages of the log (8 KiB) that one transaction reads: some tenths of a second at most, for lanes may wait for
# the users that it holds.
PAGES = 128
# Users of the funnel among whom one transaction looks for those that were merged meanwhile.
LOOKED_AT = 2_000

_INSTANT = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class LogDay:
    """What was received from `lower` up to `upper`, and how much room it takes."""

    lower: datetime
    upper: datetime
    pages: int


class FunnelLog(Protocol):
    """The event log, read for funnels in one transaction. Every method may raise StoreUnavailable."""

    async def fence(self) -> int:
        """Return a number for `ended`: it stands for all transactions that have begun to write by now."""
        ...

    async def ended(self, fence: int) -> bool:
        """Say whether all the transactions that the number stands for have ended."""
        ...

    async def days(self) -> Sequence[LogDay]:
        """Return the days that the log holds, the latest first."""
        ...

    async def steps(
        self, day: LogDay, *, first_page: int, pages: int, funnel: Funnel
    ) -> Sequence[EventEnvelope]:
        """Return the events on these pages that have the name of one of the funnel's steps."""
        ...

    async def merged(self, user_ids: Collection[str]) -> Mapping[str, str]:
        """Return id → the user that it was merged into, of those that were."""
        ...

    async def users(self, funnel_id: int, *, behind: str, limit: int) -> Sequence[str]:
        """Return users who have marks, in the order of their ids."""
        ...

    async def lock_merged(self, user_ids: Collection[str]) -> Mapping[str, str]:
        """Lock those of the ids that were merged, and their users; return id → user."""
        ...

    async def begin(self, funnel_id: int) -> None:
        """Note since when the log holds everything."""
        ...

    async def note(self, funnel_id: int, *, done: int, total: int) -> None:
        """Note how many pages of the log are counted, for those who watch."""
        ...

    async def finish(self, funnel_id: int) -> None:
        """Call the funnel live."""
        ...


class Stage(StrEnum):
    """How far a back-fill is."""

    WAITING = "waiting"  # for what began before the definition
    WALKING = "walking"  # through the log
    SETTLING = "settling"  # with merges that went on meanwhile


class Cursor(msgspec.Struct, frozen=True, omit_defaults=True):
    """Where the next transaction goes on: at this page of the day that begins at `day`, then back in time;

    at last behind this user.

    A `fence` is taken in a transaction of its own, after the commit of what must have been seen by all.
    """

    stage: Stage
    fence: int = 0
    day: datetime | None = None
    page: int = 0
    behind: str = ""
    done: int = 0
    total: int = 0


write_cursor: Final = msgspec.json.Encoder().encode
read_cursor: Final = msgspec.json.Decoder(Cursor).decode


@dataclass(frozen=True, slots=True)
class Stepped:
    """What one transaction came to. Cursor None: the back-fill is over. `waits`: try again in a while."""

    cursor: Cursor | None
    waits: bool = False


async def backfill_step(
    funnel_id: int,
    cursor: Cursor | None,
    *,
    log: FunnelLog,
    store: FunnelStore,
    day_of: DayOf,
) -> Stepped:
    """Do the next piece of a back-fill. The cursor must be saved in the same transaction."""
    _, funnels = await store.definitions()
    funnel = next((each for each in funnels if each.funnel_id == funnel_id), None)
    if funnel is None:  # deleted meanwhile
        return Stepped(None)
    cursor = cursor or Cursor(Stage.WAITING)
    if cursor.stage is not Stage.WALKING and not await _have_ended(cursor, log=log):
        fence = cursor.fence or await log.fence()
        return Stepped(msgspec.structs.replace(cursor, fence=fence), waits=True)
    counting = Counting(Funnels([funnel]), day_of, JOBS_SHARD)
    if cursor.stage is Stage.WAITING:
        return await _begin(funnel_id, log=log)
    if cursor.stage is Stage.WALKING:
        return await _walk(funnel, cursor, counting, log=log, store=store)
    return await _settle(funnel_id, cursor, counting, log=log, store=store)


async def _have_ended(cursor: Cursor, *, log: FunnelLog) -> bool:
    return cursor.fence != 0 and await log.ended(cursor.fence)


async def _begin(funnel_id: int, *, log: FunnelLog) -> Stepped:
    await log.begin(funnel_id)
    days = await log.days()
    total = sum(day.pages for day in days)
    await log.note(funnel_id, done=0, total=total)
    latest = days[0].lower if days else None
    return Stepped(Cursor(Stage.WALKING, day=latest, total=total))


async def _walk(
    funnel: Funnel, cursor: Cursor, counting: Counting, *, log: FunnelLog, store: FunnelStore
) -> Stepped:
    """Count some pages of the log. Days that came to be since, or grow, hold what lanes counted."""
    day = next(
        (each for each in await log.days() if cursor.day is not None and each.lower <= cursor.day),
        None,
    )
    if day is None:
        return Stepped(Cursor(Stage.SETTLING, done=cursor.total, total=cursor.total))
    page = cursor.page if day.lower == cursor.day else 0
    events = await log.steps(day, first_page=page, pages=PAGES, funnel=funnel)
    if events:
        merged = await log.merged({event.user_id for event in events})
        await add_marks(marks_in(events, counting.funnels, merged=merged), counting, store=store)
    after = _after(cursor, day, page + PAGES)
    await log.note(funnel.funnel_id, done=after.done, total=after.total)
    return Stepped(after)


def _after(cursor: Cursor, day: LogDay, page: int) -> Cursor:
    done = min(cursor.total, cursor.done + min(PAGES, max(0, day.pages - page + PAGES)))
    if page < day.pages:
        return Cursor(Stage.WALKING, day=day.lower, page=page, done=done, total=cursor.total)
    earlier = day.lower - _INSTANT
    return Cursor(Stage.WALKING, day=earlier, done=done, total=cursor.total)


async def _settle(
    funnel_id: int, cursor: Cursor, counting: Counting, *, log: FunnelLog, store: FunnelStore
) -> Stepped:
    """Merge what was counted for ids that were merged meanwhile: those merges did not see its marks."""
    users = await log.users(funnel_id, behind=cursor.behind, limit=LOOKED_AT)
    if not users:
        await log.finish(funnel_id)
        return Stepped(None)
    merged = await log.lock_merged(users)
    for absorbed, root in sorted(merged.items()):
        await merge_marks(root, absorbed, counting, store=store)
    return Stepped(msgspec.structs.replace(cursor, behind=users[-1]))
