"""Counted numbers of one snapshot."""

from collections.abc import Mapping, Sequence
from datetime import date, datetime
from zoneinfo import ZoneInfo

from sqlalchemy.ext.asyncio import AsyncConnection

from services.api.domain.counts import Dimension, Flow, Group
from services.api.domain.periods import Period
from services.api.outbound import (
    activity_reader,
    flow_reader,
    reconciliation_reader,
    retention_reader,
)
from services.api.usecases.counter_ports import Reconciliation


class PostgresCounters:
    """Keeps the port `Counters` on one connection, inside its transaction."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def zone(self) -> ZoneInfo:
        return await activity_reader.zone(self._connection)

    async def activity(
        self, period: Period, group: Group, *, first: date, end: date
    ) -> Mapping[tuple[str, date], tuple[int, int]]:
        return await activity_reader.activity(self._connection, period, group, first=first, end=end)

    async def activity_values(
        self, period: Period, by: Dimension, *, first: date, end: date, behind: str | None,
        limit: int,
    ) -> Sequence[str]:  # fmt: skip
        return await activity_reader.activity_values(
            self._connection, period, by, first=first, end=end, behind=behind, limit=limit
        )

    async def retention(
        self, period: Period, group: Group, *, first: date, end: date, oldest: int
    ) -> Mapping[tuple[str, date], Mapping[int, int]]:
        return await retention_reader.retention(
            self._connection, period, group, first=first, end=end, oldest=oldest
        )

    async def retention_values(
        self, period: Period, by: Dimension, *, first: date, end: date, behind: str | None,
        limit: int,
    ) -> Sequence[str]:  # fmt: skip
        return await retention_reader.retention_values(
            self._connection, period, by, first=first, end=end, behind=behind, limit=limit
        )

    async def flows(
        self, group: Group, begins: Sequence[datetime], *, end: datetime
    ) -> Mapping[str, Mapping[int, Sequence[Flow]]]:
        return await flow_reader.flows(self._connection, group, begins, end=end)

    async def flows_before(self, group: Group, begin: datetime) -> Mapping[str, Sequence[Flow]]:
        return await flow_reader.flows_before(self._connection, group, begin)

    async def flow_values(
        self, by: Dimension, *, end: datetime, behind: str | None, limit: int
    ) -> Sequence[str]:
        return await flow_reader.flow_values(
            self._connection, by, end=end, behind=behind, limit=limit
        )

    async def reconciliations(
        self, *, behind: int | None, limit: int, differing: bool | None
    ) -> Sequence[Reconciliation]:
        return await reconciliation_reader.reconciliations(
            self._connection, behind=behind, limit=limit, differing=differing
        )
