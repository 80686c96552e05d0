"""What every batch covered, for those who check the lanes: ranges tile, and epochs never fall."""

from shared.database.connection import Connection
from shared.database.lease import Partition


async def write(
    connection: Connection, partition: Partition, *, epoch: int, from_offset: int, to_offset: int
) -> None:
    """Note that the transaction covers the offsets from `from_offset` up to, not with, `to_offset`."""
    await connection.execute(
        """
        INSERT INTO batch_ledger (grp, topic, part, epoch, from_offset, to_offset)
        VALUES ($1, $2, $3, $4, $5, $6)
        """,
        partition.group,
        partition.topic,
        partition.part,
        epoch,
        from_offset,
        to_offset,
    )
