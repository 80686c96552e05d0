"""How far the segmenter's partitions are folded."""

from collections.abc import Sequence

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from services.api.domain.freshness import Progress
from shared.contracts import topics
from shared.database.tables.lanes import consumer_partition as partitions


async def progress(connection: AsyncConnection, group: str) -> Sequence[Progress]:
    rows = await connection.execute(
        select(partitions.c.watermark, partitions.c.next_offset, partitions.c.end_offset).where(
            partitions.c.grp == group, partitions.c.topic == topics.EVENTS.name
        )
    )
    return [Progress(*row) for row in rows]
