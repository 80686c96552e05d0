"""The time zone whose days are counted: settled once, and the same for every process ever after."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable

from shared.database import session
from shared.database.connection import Connection, translated
from shared.errors import InvalidConfiguration, StoreUnavailable
from shared.observability.logging import log

_logger = log(__name__)

AGAIN_S = 1.0
STOP_S = 5.0

ZoneReader = Callable[[Connection, str], Awaitable[str | None]]


async def settle_zone(connection: Connection, zone: str) -> str | None:
    """Return the zone whose days are counted, which is the given one from now on if there was none."""
    with translated():
        await connection.execute(
            "INSERT INTO product (zone) VALUES ($1) ON CONFLICT DO NOTHING", zone
        )
    return await stored_zone(connection, zone)


async def stored_zone(connection: Connection, _zone: str) -> str | None:
    """Return the zone whose days are counted; None: none are yet."""
    with translated():
        stored: str | None = await connection.fetchval("SELECT zone FROM product")
    return stored


class ProductZone:
    """A part of the process that does not let it go on with the days of another zone.

    `reader` is `settle_zone` for who counts, and `stored_zone` for who only shows. A database that does not
    answer, or has no zone yet, does not keep the process from starting: it is asked again.
    """

    def __init__(
        self, dsn: str, *, zone: str, worker: str, reader: ZoneReader, again_s: float = AGAIN_S
    ) -> None:
        self._dsn = dsn
        self._zone = zone
        self._worker = worker
        self._reader = reader
        self._again_s = again_s
        self._known = False
        self._refusal = ""
        self._asking: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Raises InvalidConfiguration where the days of another zone are counted."""
        with contextlib.suppress(StoreUnavailable):
            await self.ensure()
        if not self._known:
            self._asking = asyncio.create_task(self._ask(), name="product_zone")

    async def stop(self) -> None:
        if self._asking is not None:
            self._asking.cancel()
            await asyncio.wait({self._asking}, timeout=STOP_S)

    async def ensure(self) -> None:
        """Return where nothing contradicts the zone: at once, when that is known already.

        Raises InvalidConfiguration where another zone's days are counted, and StoreUnavailable.
        """
        if self._known:
            return
        connection = await session.connect(self._dsn, worker=self._worker)
        try:
            stored = await self._reader(connection, self._zone)
        finally:
            await session.close(connection)
        if stored is not None and stored != self._zone:
            self._refusal = (
                f"EBBTIDE_PRODUCT_ZONE: is {self._zone}, but the days that are counted are those of"
                f" {stored}: set it to that; only `ebbtide rebuild --swap --zone {self._zone}` changes it"
            )
            raise InvalidConfiguration(self._refusal)
        self._known = stored is not None

    def doubt(self) -> None:
        """Forget that the zone is known: something contradicts it."""
        self._known = False

    def ended(self) -> str:
        """Say why the process must not go on; empty: it may."""
        return self._refusal

    async def _ask(self) -> None:
        while not self._known:
            await asyncio.sleep(self._again_s)
            try:
                await self.ensure()
            except StoreUnavailable as error:
                _logger.warning("product_zone_not_read", error=str(error))
            except InvalidConfiguration as error:
                _logger.critical("product_zone_differs", error=str(error))
                return
