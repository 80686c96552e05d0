"""What is left of a deleted funnel, on the connection and in the transaction of the job that removes it."""

from services.segmenter.outbound import fences
from shared.database.connection import Connection, translated

_REMOVE_USERS = """
DELETE FROM funnel_users
WHERE ctid = ANY (ARRAY(SELECT ctid FROM funnel_users WHERE funnel_id = $1 LIMIT $2))
"""

_REMOVE_COUNTS = "DELETE FROM funnel_counts WHERE funnel_id = $1"

_REMOVE_FUNNEL = "DELETE FROM funnels WHERE funnel_id = $1 AND state = 'deleting'"


class PostgresFunnelRemains:
    """Keeps the port `FunnelRemains`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def fence(self) -> int:
        return await fences.take(self._connection)

    async def ended(self, fence: int) -> bool:
        return await fences.has_ended(self._connection, fence)

    async def remove_users(self, funnel_id: int, *, limit: int) -> int:
        with translated():
            status = await self._connection.execute(_REMOVE_USERS, funnel_id, limit)
        return int(status.removeprefix("DELETE "))

    async def remove_rest(self, funnel_id: int) -> None:
        with translated():
            await self._connection.execute(_REMOVE_COUNTS, funnel_id)
            await self._connection.execute(_REMOVE_FUNNEL, funnel_id)
