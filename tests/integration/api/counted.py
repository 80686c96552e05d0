"""Counters as the segmenter leaves them, from what users did, for the api to show."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from zoneinfo import ZoneInfo

from services.segmenter.domain.active_days import ActiveDays
from services.segmenter.domain.calendar import Calendar
from services.segmenter.domain.counters import Cells, Standing, activity_delta, flow_delta
from services.segmenter.domain.lifecycle import Step
from services.segmenter.domain.origin import Origin
from services.segmenter.outbound.counter_sql import CounterStore
from shared.database.connection import Connection
from shared.vocabulary import Lifecycle, TransitionReason

USUAL = Origin("wechat", "ios")


class CountedUsers:
    """Counts users into the cells of a product whose days are those of one zone."""

    def __init__(self, connection: Connection, zone: str = "UTC") -> None:
        self._connection = connection
        self._calendar = Calendar(ZoneInfo(zone))
        self._shard = 0

    async def settle(self) -> None:
        await self._connection.execute(
            "INSERT INTO product (zone) VALUES ($1)", str(self._calendar.zone)
        )

    async def was_active(self, instants: Iterable[datetime], origin: Origin = USUAL) -> None:
        """Count a user who was active then."""
        days = ActiveDays.of(map(self._calendar.day_of, instants))
        await self._add(activity_delta(None, Standing(days, origin), self._calendar))

    async def went(
        self,
        *steps: tuple[datetime, Lifecycle],
        origin: Origin = USUAL,
        since: Lifecycle | None = None,
    ) -> None:
        """Count a user who went from one lifecycle to the next at these instants."""
        await self._add(flow_delta((), _steps(steps, since), origin, self._calendar))

    async def _add(self, cells: Cells) -> None:
        """Add to ever another shard: a cell is the sum of them."""
        self._shard = (self._shard + 1) % 9
        await CounterStore().add(self._connection, cells, self._shard)


def _steps(steps: Sequence[tuple[datetime, Lifecycle]], since: Lifecycle | None) -> list[Step]:
    found: list[Step] = []
    for at, after in steps:
        found.append(Step(at, since, after, TransitionReason.TIME_PASSED, 1))
        since = after
    return found
