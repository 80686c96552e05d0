"""Funnels as the lanes count them, in the transaction of each batch."""

from collections.abc import Callable, Iterable
from uuid import UUID

from services.segmenter.domain.funnel_depth import DayOf
from services.segmenter.usecases.fold_funnels import (
    JOBS_SHARD,
    Counting,
    FunnelStore,
    KnownFunnels,
    fold_funnels,
)
from shared.contracts.events import EventEnvelope
from shared.database.connection import Connection


class LiveFunnels:
    """Counts fresh events. One for all lanes of a process: what is defined is read once for all."""

    def __init__(self, *, stores: Callable[[Connection], FunnelStore], day_of: DayOf) -> None:
        self._stores = stores
        self._day_of = day_of
        self._known = KnownFunnels()

    async def fold(
        self, connection: Connection, fresh: Iterable[EventEnvelope], *, version: UUID, part: int
    ) -> int:
        """Count the events, by the definitions of the version that this transaction has read.

        Returns how many were steps.
        """
        store = self._stores(connection)
        funnels = await self._known.at(version, store)
        if not funnels.by_id:
            return 0
        counting = Counting(funnels, self._day_of, shard=part % JOBS_SHARD)
        return await fold_funnels(fresh, counting, store=store)
