"""Mends the users who differ from the event log, one by one, while the lanes go on."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import timedelta

from services.segmenter.domain.calendar import Calendar
from services.segmenter.domain.policy import Policies
from services.segmenter.domain.rebuilding import Verdict, judge
from services.segmenter.inbound.evenly import Evenly
from services.segmenter.inbound.messages import message_of, messages_of
from services.segmenter.usecases.mend_user import (
    NOT_IN_THE_LOG,
    Mended,
    MendingDesk,
    mend_user,
)
from services.segmenter.usecases.ports import NoRoomYet, Room, Store
from services.segmenter.usecases.rebuild import Reader, Rules
from services.segmenter.usecases.rebuild_ports import Snapshot
from services.segmenter.usecases.write_history import History, Occasion
from shared.clock import Clock
from shared.database import outbox
from shared.database.connection import Connection, translated
from shared.database.outbox import OutboxMessage
from shared.errors import RetryableError
from shared.lanes.limits import Backoff, LaneLimits
from shared.vocabulary import TransitionStatus

# A user who changes each time between the look and the lock is locked first, while lanes wait; if that fails,
# they are left for the next rebuild.
ATTEMPTS = 8
UNHELD = 3


@dataclass(frozen=True, slots=True)
class Places:
    """Where the mender works: fresh snapshots to read from, and transactions to write in."""

    snapshots: Callable[[], AbstractAsyncContextManager[Snapshot]]
    transactions: Callable[[], AbstractAsyncContextManager[Connection]]
    stores: Callable[[Connection], Store]
    desks: Callable[[Connection], MendingDesk]
    room: Room


@dataclass(frozen=True, slots=True)
class Manner:
    """How it mends. `rate`: so many users a second."""

    group: str
    calendar: Calendar
    live_window: timedelta
    clock: Clock
    rate: float


@dataclass(frozen=True, slots=True)
class _LookedAt:
    """A user who differs, and the policies that held then."""

    verdict: Verdict
    policies: Policies


class Mender:
    """Reads without locks, and locks a user only to write: hardly anybody waits while their events are read."""

    def __init__(self, places: Places, manner: Manner) -> None:
        self._places = places
        self._manner = manner

    async def mend_all(
        self, pages: AsyncIterator[Sequence[str]]
    ) -> AsyncIterator[tuple[str, bool]]:
        """Mend the users; yield each with whether they are right now. Raises StoreUnavailable."""
        evenly = Evenly(self._manner.rate)
        async for user_ids in pages:
            looked_at = await self._look(user_ids)
            for user_id in user_ids:
                await evenly.turn()
                yield user_id, await self._mend_one(user_id, looked_at.get(user_id))

    async def _mend_one(self, user_id: str, looked_at: "_LookedAt | None") -> bool:
        """Mend a user; say whether they are right now, or were so by themselves."""
        backoff = Backoff(LaneLimits())
        for attempt in range(1, ATTEMPTS + 1):
            try:
                if attempt > 1:
                    looked_at = (await self._look([user_id])).get(user_id)
                if looked_at is None or await self._mend(looked_at, held=attempt > UNHELD):
                    return True
            except NoRoomYet as error:
                self._places.room.forget()
                await self._places.room.ensure(days=(), months=error.months)
            except RetryableError:
                if attempt == ATTEMPTS:
                    raise
                await asyncio.sleep(backoff.next_s())
        return False

    async def _look(self, user_ids: Sequence[str]) -> "dict[str, _LookedAt]":
        """Return those of the users who differ now. One look at many costs little more than at one."""
        async with self._places.snapshots() as snapshot:
            rules = Rules(await snapshot.times(), self._manner.calendar)
            reader = Reader(snapshot, rules, user_ids=user_ids)
            found = [each async for page in reader.pages() for each in page]
        verdicts = (judge(each, rules.times, rules.calendar) for each in found)
        return {
            each.found.user_id: _LookedAt(each, rules.times.policies)
            for each in verdicts
            if each.differs
        }

    async def _mend(self, looked_at: "_LookedAt", *, held: bool) -> bool:
        """Mend a user who was looked at; `held`: who changes so often that they are looked at under their lock."""
        user_id = looked_at.verdict.found.user_id
        async with self._places.transactions() as connection:
            if held:
                await self._places.desks(connection).lock(user_id)
                again = (await self._look([user_id])).get(user_id)
                if again is None:
                    return True
                looked_at = again
            return await self._write(connection, looked_at)

    async def _write(self, connection: Connection, looked_at: "_LookedAt") -> bool:
        verdict, now = looked_at.verdict, self._manner.clock.now()
        if not await self._is_decided(verdict):
            return False
        part = _part_of(verdict)
        occasion = Occasion(part, now, None, self._manner.live_window, self._manner.calendar)
        mended = await mend_user(
            verdict,
            occasion=occasion,
            policies=looked_at.policies,
            desk=self._places.desks(connection),
            store=self._places.stores(connection),
        )
        if mended is None:
            return False
        messages = _messages(mended, occasion)
        if messages:
            with translated():
                await outbox.insert(connection, self._manner.group, part, messages=messages)
        return True

    async def _is_decided(self, verdict: Verdict) -> bool:
        """Have the user's channel decided, should nobody have met it; False: it is not told apart."""
        rebuilt, stored = verdict.rebuilt, verdict.found.stored
        if rebuilt is None:
            return True
        origin = rebuilt.profile.origin
        if verdict.partly and stored is not None and origin == stored.origin:
            return True  # it is the row's own word, even where the channel was let go since
        channels = await self._places.room.admit([origin.channel])
        return channels.counted(origin) == origin


def _part_of(verdict: Verdict) -> int:
    """Return the partition whose outbox tells of the user."""
    if verdict.rebuilt is not None:
        return verdict.rebuilt.profile.part
    stored = verdict.found.stored
    return 0 if stored is None else stored.part


def _messages(mended: Mended, occasion: Occasion) -> list[OutboxMessage]:
    told = [
        message_of(each, TransitionStatus.RETRACTED, at=occasion.now, because=NOT_IN_THE_LOG)
        for each in mended.retracted
    ]
    told += messages_of(History(written=mended.written), at=occasion.now)
    return told
