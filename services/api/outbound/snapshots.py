"""Read-only snapshots of Postgres from a small pool, bounded in time."""

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from datetime import date
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncConnection

from services.api.domain.freshness import Progress
from services.api.domain.funnels import FunnelDay, FunnelView
from services.api.domain.views import (
    AlertView,
    DeadLetterView,
    PartitionView,
    TransitionView,
    UserView,
    WorkerView,
)
from services.api.outbound import (
    alert_reader,
    dead_letter_reader,
    funnel_reader,
    progress_reader,
    segmenter_reader,
    transition_reader,
    user_reader,
)
from services.api.outbound.counter_reader import PostgresCounters
from services.api.outbound.identity_reader import PostgresIdentityBook
from services.api.outbound.policy_reader import PostgresPolicyShelf
from services.api.outbound.pools import pool
from services.api.usecases.ports import (
    AlertFilter,
    At,
    DeadLetterFilter,
    TransitionFilter,
    UserFilter,
)
from shared.database.connection import UNAVAILABLE
from shared.errors import StoreUnavailable

POOL_SIZE = 8
# Longer than the server's own limit below, which speaks first where the server still speaks.
COMMAND_S = 7.0
_BOUNDS = {
    "statement_timeout": "5s",
    "idle_in_transaction_session_timeout": "10s",
    "default_transaction_read_only": "on",
    "default_transaction_isolation": "repeatable read",
    "timezone": "UTC",
    "application_name": "ebbtide-api",
}


class PostgresSnapshots:
    """Keeps the port `Snapshots`; a part of the process, for its pool."""

    def __init__(self, dsn: str, *, group: str, command_s: float = COMMAND_S) -> None:
        self._group = group
        self._engine = pool(dsn, size=POOL_SIZE, command_s=command_s, bounds=_BOUNDS)

    async def start(self) -> None:
        """It connects when first asked."""

    async def stop(self) -> None:
        await self._engine.dispose()

    @asynccontextmanager
    async def open(self) -> AsyncIterator["PostgresSnapshot"]:
        with translated_errors():
            async with self._engine.connect() as connection, connection.begin():
                yield PostgresSnapshot(connection, group=self._group)

    async def answers(self) -> bool:
        """Say whether the database takes a question now."""
        try:
            async with self.open() as snapshot:
                await snapshot.ping()
        except StoreUnavailable:
            return False
        return True


class PostgresSnapshot:
    """Keeps the port `Snapshot` on one connection, inside its transaction."""

    def __init__(self, connection: AsyncConnection, *, group: str) -> None:
        self._connection = connection
        self._group = group
        self.policy_shelf = PostgresPolicyShelf(connection)
        self.counters = PostgresCounters(connection)
        self.identity = PostgresIdentityBook(connection)

    async def ping(self) -> None:
        await self._connection.execute(text("SELECT 1"))

    async def progress(self) -> Sequence[Progress]:
        return await progress_reader.progress(self._connection, self._group)

    async def user(self, user_id: str) -> UserView | None:
        return await user_reader.user(self._connection, user_id)

    async def users(
        self, wanted: UserFilter, *, behind: str | None, limit: int
    ) -> Sequence[UserView]:
        return await user_reader.users(self._connection, wanted, behind=behind, limit=limit)

    async def lifecycle_counts(self) -> Mapping[str, int]:
        return await user_reader.lifecycle_counts(self._connection)

    async def transitions(
        self, wanted: TransitionFilter, *, behind: At | None, limit: int, oldest_first: bool
    ) -> Sequence[TransitionView]:
        return await transition_reader.transitions(
            self._connection, wanted, behind=behind, limit=limit, oldest_first=oldest_first
        )

    async def alert(self, alert_id: UUID) -> AlertView | None:
        return await alert_reader.alert(self._connection, alert_id)

    async def alerts(
        self, wanted: AlertFilter, *, behind: At | None, limit: int
    ) -> Sequence[AlertView]:
        return await alert_reader.alerts(self._connection, wanted, behind=behind, limit=limit)

    async def dead_letters(
        self, wanted: DeadLetterFilter, *, behind: At | None, limit: int
    ) -> tuple[Sequence[DeadLetterView], bool]:
        return await dead_letter_reader.dead_letters(
            self._connection, wanted, behind=behind, limit=limit
        )

    async def segmenter_workers(self) -> Sequence[WorkerView]:
        return await segmenter_reader.segmenter_workers(self._connection, self._group)

    async def segmenter_partitions(self) -> Sequence[PartitionView]:
        return await segmenter_reader.segmenter_partitions(self._connection, self._group)

    async def funnels(self) -> Sequence[FunnelView]:
        return await funnel_reader.funnels(self._connection)

    async def funnel(self, funnel_id: int) -> FunnelView | None:
        return await funnel_reader.funnel(self._connection, funnel_id)

    async def latest_funnel_day(self, funnel_id: int) -> date | None:
        return await funnel_reader.latest_day(self._connection, funnel_id)

    async def funnel_days(
        self, shown: FunnelView, *, first: date | None, end: date | None
    ) -> Sequence[FunnelDay]:
        return await funnel_reader.funnel_days(self._connection, shown, first=first, end=end)


@contextmanager
def translated_errors() -> Iterator[None]:
    """Raise StoreUnavailable in place of the errors of the driver and of its pool."""
    try:
        yield
    except (DBAPIError, PoolTimeout, *UNAVAILABLE) as error:
        raise StoreUnavailable(f"{type(error).__name__}: {error}") from error
