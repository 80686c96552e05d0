"""Fences: to know that every transaction which began before a moment has ended.

A definition that was committed a moment ago is not known to those that had begun. Who changes a user has an id
from its first statement on, which locks the partition's row. Take the number after that commit, in a
transaction of its own; what begins later sees the definition.
"""

from shared.database.connection import Connection, translated

# The snapshot's xmax is the next id that will be given.
_TAKE = "SELECT pg_snapshot_xmax(pg_current_snapshot())::text::bigint"

# A number that lies ahead is of another server: this one was restored from a dump, and all of that has ended.
_ENDED = """
SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint >= $1
    OR pg_snapshot_xmax(pg_current_snapshot())::text::bigint < $1
"""


async def take(connection: Connection) -> int:
    """Return the number that stands for all transactions which have an id by now."""
    with translated():
        fence: int = await connection.fetchval(_TAKE)
    return fence


async def has_ended(connection: Connection, fence: int) -> bool:
    """Say whether all that the number stands for have ended, but for the one that asks."""
    with translated():
        ended: bool = await connection.fetchval(_ENDED, fence)
    return ended
