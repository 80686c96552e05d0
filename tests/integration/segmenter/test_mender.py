"""A user is mended although a lane changes them each time between the look and the lock."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg
import pytest

from services.segmenter.domain.calendar import Calendar
from services.segmenter.inbound.mender import Manner, Mender, Places
from services.segmenter.outbound.mending_desk import PostgresMendingDesk
from services.segmenter.outbound.profile_store import PostgresStore
from services.segmenter.outbound.rebuild_snapshot import PostgresSnapshot, connected, taken
from shared.clock import SystemClock
from shared.database.connection import Connection
from tests.integration.segmenter.kit import DAY, GROUP, ZONE, Site, day, event
from tests.integration.segmenter.rebuild_kit import rebuilt

pytestmark = pytest.mark.postgres


class Restless:
    """Places in which the user acts after each look, as long as they are not locked."""

    def __init__(self, site: Site, reading: Connection, writing: Connection) -> None:
        self.looks = 0
        self.is_held = False
        self._site = site
        self._reading = reading
        self._writing = writing

    @asynccontextmanager
    async def snapshots(self) -> AsyncIterator[PostgresSnapshot]:
        async with taken(self._reading, group=GROUP) as snapshot:
            yield snapshot
        self.looks += 1
        if not self.is_held:
            await self._site.fold(event("u", day(3 + self.looks)))

    @asynccontextmanager
    async def transactions(self) -> AsyncIterator[Connection]:
        async with self._writing.transaction():
            yield self._writing

    def desks(self, connection: Connection) -> PostgresMendingDesk:
        return _Desk(connection, self)


class _Desk(PostgresMendingDesk):
    def __init__(self, connection: Connection, places: Restless) -> None:
        super().__init__(connection)
        self._places = places

    async def lock(self, user_id: str) -> str | None:
        version = await super().lock(user_id)
        self._places.is_held = self._places.looks > 3
        return version


async def pages() -> AsyncIterator[list[str]]:
    yield ["u"]


async def test_who_changes_after_every_look_is_looked_at_under_the_lock(site: Site) -> None:
    await site.fold(event("u", day(0)), event("u", day(1)))
    await site.owner.execute("UPDATE users SET event_count = 7")
    writing = await asyncpg.connect(site.database.segmenter)
    async with connected(site.database.segmenter, worker="test") as reading:
        places = Restless(site, reading, writing)
        mender = Mender(
            Places(places.snapshots, places.transactions, PostgresStore, places.desks, site.room),
            Manner(GROUP, Calendar(ZONE), DAY, SystemClock(), rate=1e6),
        )

        mended = [each async for each in mender.mend_all(pages())]

    await writing.close()
    assert mended == [("u", True)]
    assert places.looks == 5
    assert (await site.user())["event_count"] == 2 + 4
    assert (await rebuilt(site)).differences == []
