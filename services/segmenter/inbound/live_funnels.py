"""Funnels as the lanes count them, in the transaction of each batch."""

from collections.abc import Callable, Mapping, Sequence
from uuid import UUID

from services.segmenter.domain.funnel import Funnels
from services.segmenter.domain.funnel_depth import DayOf
from services.segmenter.usecases.fold_events import Folded
from services.segmenter.usecases.fold_funnels import (
    JOBS_SHARD,
    Counting,
    FunnelStore,
    KnownFunnels,
    fold_funnels,
)
from services.segmenter.usecases.merge_users import Scene
from services.segmenter.usecases.move_marks import StepLog, follow_merges
from shared.contracts.events import EventEnvelope
from shared.database.connection import Connection


class LiveFunnels:
    """Counts what was fresh. One for all lanes of a process: what is defined is read once for all."""

    def __init__(
        self,
        *,
        stores: Callable[[Connection], FunnelStore],
        logs: Callable[[Connection], StepLog],
        day_of: DayOf,
    ) -> None:
        self._stores = stores
        self._logs = logs
        self._day_of = day_of
        self._known = KnownFunnels()

    async def fold(
        self, connection: Connection, folded: Folded, scene: Scene, *, version: UUID
    ) -> int:
        """Count what a batch came to, by the definitions of the version that its transaction has read.

        Returns how many events were steps.
        """
        store = self._stores(connection)
        funnels = await self._known.at(version, store)
        if not funnels.by_id:
            return 0
        counting = Counting(funnels, self._day_of, shard=scene.occasion.part % JOBS_SHARD)
        if folded.merged.merges:
            await follow_merges(
                folded.merged.merges, counting, store=store, log=self._logs(connection)
            )
        steps = _steps_among(folded, funnels)
        if not steps:
            return 0
        homes = await _homes_of(steps, folded, scene)
        return await fold_funnels(steps, counting, store=store, merged=homes)


def _steps_among(folded: Folded, funnels: Funnels) -> list[EventEnvelope]:
    return [each.event for each in folded.fresh if funnels.is_step(each.event.name)]


async def _homes_of(
    steps: Sequence[EventEnvelope], folded: Folded, scene: Scene
) -> Mapping[str, str]:
    """Return whose the events are. Who was active is locked; the others must be too, or they may be moved."""
    locked = folded.merged.locked
    unknown = {event.user_id for event in steps if not event.active} - locked.ids()
    if unknown:
        occasion = scene.occasion
        await scene.identities.secure(unknown, part=occasion.part, now=occasion.now)
        locked = locked.and_also(await scene.store.lock(unknown))
    return {event.user_id: locked.root_of(event.user_id) for event in steps}
