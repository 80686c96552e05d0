"""Who folds the events topic, and how far each of its partitions is."""

from collections.abc import Sequence

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from services.api.domain.views import PartitionView, WorkerView
from shared.contracts import topics
from shared.database.tables.lanes import consumer_partition as partitions
from shared.database.tables.lanes import consumer_worker as workers


async def segmenter_workers(connection: AsyncConnection, group: str) -> Sequence[WorkerView]:
    """Return the workers by name. Leases are in the database's own time, not in product time."""
    rows = await connection.execute(
        select(
            workers.c.worker,
            workers.c.alive_until > func.clock_timestamp(),
            workers.c.leaving,
        )
        .where(workers.c.grp == group)
        .order_by(workers.c.worker)
    )
    return [WorkerView(*row) for row in rows]


async def segmenter_partitions(connection: AsyncConnection, group: str) -> Sequence[PartitionView]:
    rows = await connection.execute(
        select(
            partitions.c.part,
            partitions.c.owner,
            partitions.c.epoch,
            partitions.c.next_offset,
            partitions.c.end_offset,
            partitions.c.watermark,
            partitions.c.folded_at,
            partitions.c.frozen_reason,
        )
        .where(partitions.c.grp == group, partitions.c.topic == topics.EVENTS.name)
        .order_by(partitions.c.part)
    )
    return [PartitionView(*row) for row in rows]
