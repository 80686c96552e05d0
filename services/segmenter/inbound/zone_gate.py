"""Keeps a lane from folding before it is known that the days it counts are those that are counted."""

from collections.abc import Awaitable, Callable

from services.segmenter.usecases.ports import ZoneMoved
from shared.database.connection import Connection
from shared.lanes.work import Applied, Batch, LaneWork


class ZoneGate:
    """A lane's work behind a check, which may raise: at a start the database may not have answered it.

    `doubt`: called where a turn found another zone, so that the next check asks the database anew.
    """

    def __init__(
        self,
        work: LaneWork,
        *,
        check: Callable[[], Awaitable[None]],
        doubt: Callable[[], None],
    ) -> None:
        self._work = work
        self._check = check
        self._doubt = doubt

    async def prepare(self, batch: Batch) -> None:
        await self._check()
        await self._work.prepare(batch)

    async def apply(self, connection: Connection, batch: Batch) -> Applied:
        try:
            return await self._work.apply(connection, batch)
        except ZoneMoved:
            self._doubt()
            raise
