"""Makes room for what is new in a batch: partitions before its transaction, channels beside it."""

import asyncio
from collections.abc import Collection
from datetime import date, datetime
from uuid import UUID

from services.segmenter.domain.channels import Channels
from services.segmenter.domain.policy import Policies
from services.segmenter.outbound import channel_book
from services.segmenter.outbound.profile_store import PostgresStore
from services.segmenter.usecases.ports import NoRoomYet
from shared.database import session
from shared.database.connection import Connection, translated
from shared.observability.logging import log

_logger = log(__name__)

# How old the horizon may be. Nothing is dropped before every process has read the new one.
HORIZON_S = 60.0


class Partitions:
    """Remembers what it made; one connection, opened when first needed, shared by all lanes.

    `channels`: how many are told apart; None: as many as another process said last, which then logs that they are full.
    """

    def __init__(self, dsn: str, *, worker: str, channels: int | None = None) -> None:
        self._dsn = dsn
        self._worker = worker
        self._connection: Connection | None = None
        self._made: set[tuple[str, date]] = set()
        self._policies: Policies | None = None
        self._horizon: datetime | None = None
        self._horizon_read_at = float("-inf")
        self._most_channels = channels
        self._channels: tuple[UUID, Channels] | None = None
        self._turn = asyncio.Lock()

    async def policies(self) -> Policies:
        """Return the policies as first read, or as read again after `forget`."""
        if self._policies is not None:  # every batch asks: it waits for nobody's partition
            return self._policies
        async with self._turn:
            if self._policies is None:
                self._policies = await PostgresStore(await self._connected()).policies()
            return self._policies

    async def horizon(self) -> datetime | None:
        """Return since when the event log holds everything, as read within the last minute.

        Raises StoreUnavailable.
        """
        now = asyncio.get_running_loop().time()
        if now - self._horizon_read_at < HORIZON_S:
            return self._horizon
        async with self._turn:
            connection = await self._connected()
            with translated():
                read = await connection.fetchval("SELECT held_since FROM log_horizon")
        # A database that was restored may know an older one. What was judged once is judged so again.
        self._horizon = max((each for each in (self._horizon, read) if each), default=None)
        self._horizon_read_at = now
        return self._horizon

    async def ensure(self, *, days: Collection[date], months: Collection[date]) -> None:
        """Make partitions for events received on the days and transitions dated in the months.

        Idempotent. Raises StoreUnavailable, and NoRoomYet where the log no longer holds a day.
        """
        wanted = [("events", day) for day in days] + [("transitions", month) for month in months]
        missing = sorted(each for each in wanted if each not in self._made)
        if not missing:
            return
        async with self._turn:
            connection = await self._connected()
            for table, day in missing:
                with translated():
                    found = await connection.fetchval(f"SELECT ensure_{table}_partition($1)", day)
                if found == "dropped":
                    self.forget()
                    raise NoRoomYet(f"the event log no longer holds {day}")
                tell_of_partition(table, day, found)
                self._made.add((table, day))

    async def channels(self, version: UUID) -> Channels:
        """Return the channels as of that version or a later one. Raises StoreUnavailable."""
        known = self._channels
        if known is not None and known[0] == version:
            return known[1]
        async with self._turn:
            return await self._read_channels(await self._connected())

    async def admit(self, channels: Collection[str]) -> Channels:
        """Have them decided, and return those that are told apart now. Raises StoreUnavailable.

        A lane waits for this inside its transaction. Nobody who holds the book waits for anything of a lane's. Where
        the turn is somebody's whose partition takes seconds, the server ends the transaction: it is begun anew, and
        finds this decided.
        """
        async with self._turn:
            known = self._channels
            if known is not None and not any(map(known[1].is_undecided, channels)):
                return known[1]
            connection = await self._connected()
            await channel_book.admit_channels(connection, channels, most=self._most_channels)
            return await self._read_channels(connection)

    async def _read_channels(self, connection: Connection) -> Channels:
        before = self._channels
        self._channels = await channel_book.read_channels(connection)
        channels = self._channels[1]
        is_said_here = self._most_channels is not None
        if is_said_here and channels.is_full and (before is None or not before[1].is_full):
            _logger.warning("channels_are_full", why="what comes by others is counted as `other`")
        return channels

    def forget(self) -> None:
        """Look anew: a partition was dropped, the horizon raised, or a policy was activated."""
        self._made.clear()
        self._policies = None
        self._horizon_read_at = float("-inf")

    async def start(self) -> None:
        """It connects when first needed."""

    async def stop(self) -> None:
        if self._connection is not None:
            await session.close(self._connection)

    async def _connected(self) -> Connection:
        if self._connection is None or self._connection.is_closed():
            self._connection = await session.connect(self._dsn, worker=self._worker)
        return self._connection


def tell_of_partition(table: str, day: date, found: str) -> None:
    """Log what `ensure_…_partition` did, where it was more than to make one."""
    if found == "attached again":
        _logger.warning("partition_attached_again", table=table, day=str(day))
    elif found.startswith("made beside"):
        _logger.error(
            "partition_made_beside",
            table=table,
            day=str(day),
            why=found,
            hint="a table detached by hand has its name; repeats of what it holds count again",
        )
