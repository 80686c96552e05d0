"""Keeps a lane from folding before it is known that the days it counts are those that are counted."""

from collections.abc import Awaitable, Callable

from shared.database.connection import Connection
from shared.lanes.work import Applied, Batch, LaneWork


class ZoneGate:
    """A lane's work behind a check, which may raise: at a start the database may not have answered it."""

    def __init__(self, work: LaneWork, *, check: Callable[[], Awaitable[None]]) -> None:
        self._work = work
        self._check = check

    async def prepare(self, batch: Batch) -> None:
        await self._check()
        await self._work.prepare(batch)

    async def apply(self, connection: Connection, batch: Batch) -> Applied:
        return await self._work.apply(connection, batch)
