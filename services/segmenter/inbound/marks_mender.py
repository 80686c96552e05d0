"""Mends users' marks of funnels that differ from the event log, user by user, while the lanes go on."""

import asyncio
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import NamedTuple

from services.segmenter.domain.calendar import Calendar
from services.segmenter.domain.funnel import Funnels
from services.segmenter.domain.funnel_marks import instant_of
from services.segmenter.inbound.evenly import Evenly
from services.segmenter.inbound.mender import ATTEMPTS
from services.segmenter.usecases.fold_funnels import JOBS_SHARD, Counting, FunnelStore
from services.segmenter.usecases.mend_user import MendingDesk
from services.segmenter.usecases.merge_users import Identities
from services.segmenter.usecases.move_marks import StepLog, mend_marks
from shared.clock import Clock
from shared.database.connection import Connection
from shared.errors import RetryableError
from shared.lanes.limits import Backoff, LaneLimits

# Whose steps are more is not mended: lanes wait for the user meanwhile, and the server for the transaction.
MOST_STEPS = 20_000


@dataclass(frozen=True, slots=True)
class MarksPlaces:
    """Where the mender works: transactions, and what it asks of the database in each."""

    transactions: Callable[[], AbstractAsyncContextManager[Connection]]
    stores: Callable[[Connection], FunnelStore]
    logs: Callable[[Connection], StepLog]
    desks: Callable[[Connection], MendingDesk]
    identities: Callable[[Connection], Identities]


class MendedMarks(NamedTuple):
    """What became of a user's marks of these funnels; `is_right` False: they are left as they were."""

    user_id: str
    funnel_ids: Sequence[int]
    is_right: bool


class MarksMender:
    """Locks a user while their steps are read, as a merge does. `rate`: so many users a second."""

    def __init__(
        self, places: MarksPlaces, *, calendar: Calendar, clock: Clock, rate: float
    ) -> None:
        self._places = places
        self._calendar = calendar
        self._clock = clock
        self._rate = rate

    async def mend_all(
        self, pages: AsyncIterator[Mapping[str, Sequence[int]]]
    ) -> AsyncIterator[MendedMarks]:
        """Mend these users' marks of these funnels, user by user. Raises StoreUnavailable."""
        evenly = Evenly(self._rate)
        async for page in pages:
            for user_id, funnel_ids in page.items():
                await evenly.turn()
                is_right = await self._mend_one(user_id, funnel_ids)
                yield MendedMarks(user_id, funnel_ids, is_right)

    async def _mend_one(self, user_id: str, funnel_ids: Collection[int]) -> bool:
        backoff = Backoff(LaneLimits())
        for attempt in range(1, ATTEMPTS + 1):
            try:
                async with self._places.transactions() as connection:
                    return await self._mend(connection, user_id, funnel_ids)
            except RetryableError:
                if attempt == ATTEMPTS:
                    raise
                await asyncio.sleep(backoff.next_s())
        return False

    async def _mend(
        self, connection: Connection, user_id: str, funnel_ids: Collection[int]
    ) -> bool:
        """Mend by what is defined now: of a funnel that was deleted meanwhile nothing is written.

        False: the user's steps are too many.
        """
        places, identities = self._places, self._places.identities(connection)
        # Who has marks and no row, and is claimed now, would leave the marks that are written here behind.
        await identities.secure([user_id], part=0, now=self._clock.now())
        await places.desks(connection).lock(user_id)
        store, log = places.stores(connection), places.logs(connection)
        _, defined = await store.definitions()
        funnels = Funnels(each for each in defined if each.funnel_id in funnel_ids)
        if not funnels.by_id:
            return True
        ids = await log.ids_of(user_id)
        events = await log.steps_of(ids, funnels=funnels, most=MOST_STEPS + 1) if ids else ()
        if len(events) > MOST_STEPS:
            return False
        # After the events: days that are dropped in between are taken as they are stored. Whose id is another
        # user's has no marks, whatever the log lost.
        since = await identities.held_since() if ids else None
        await mend_marks(
            user_id,
            events,
            Counting(funnels, self._calendar.day_of_microsecond, JOBS_SHARD),
            since=None if since is None else instant_of(since),
            store=store,
        )
        return True
