import asyncio
from collections.abc import AsyncIterator, Callable
from uuid import UUID

import pytest
import pytest_asyncio
from prometheus_client import CollectorRegistry

from services.alerts.domain.delivery import Answer, Result
from services.alerts.inbound.delivery_loop import DeliveryLoop, Pace
from services.alerts.usecases.ports import Claimed
from services.alerts.usecases.warn_of_churn import warn_of_churn
from shared.errors import RejectedByStore, StoreUnavailable
from shared.observability.metrics import Metrics
from tests.unit.alerts.builders import NOW, churned, day
from tests.unit.alerts.fakes import (
    FakeAlertBook,
    FakeDatabase,
    FakeNotifications,
    ScriptedChannel,
)

WITHIN_S = 5.0


class TellingChannel(ScriptedChannel):
    """Says when it has been sent something."""

    def __init__(self, *answers: Answer) -> None:
        super().__init__(*answers)
        self.called = asyncio.Event()

    async def send(self, body: bytes, *, delivery_id: UUID) -> Answer:
        answer = await super().send(body, delivery_id=delivery_id)
        self.called.set()
        return answer


class FlakyStore(FakeNotifications):
    """Is away for the first few claims."""

    def __init__(
        self,
        database: FakeDatabase,
        *,
        away_for: int,
        saying: Exception,
    ) -> None:
        super().__init__(database)
        self.away_for = away_for
        self._saying = saying

    async def claim(self, channel: str, *, limit: int, lease_s: float) -> list[Claimed]:
        if self.away_for:
            self.away_for -= 1
            raise self._saying
        return await super().claim(channel, limit=limit, lease_s=lease_s)


@pytest_asyncio.fixture
async def loops() -> AsyncIterator[Callable[..., DeliveryLoop]]:
    made: list[DeliveryLoop] = []

    def make(channel: ScriptedChannel, store: FakeNotifications, metrics: Metrics) -> DeliveryLoop:
        pace = Pace(look_s=3600.0, first_back_off_s=0.001, longest_back_off_s=0.01)
        loop = DeliveryLoop(
            channels=[channel], store=store, metrics=metrics, draw=lambda: 0.5, pace=pace
        )
        made.append(loop)
        return loop

    yield make
    for loop in made:
        await loop.stop()


@pytest.fixture
def metrics() -> Metrics:
    return Metrics(CollectorRegistry())


async def alert(database: FakeDatabase, user: str = "u-1") -> None:
    await warn_of_churn(
        [churned(day(30), user=user)],
        book=FakeAlertBook(database),
        channels=["webhook"],
        now=NOW,
    )


async def test_what_waits_at_the_start_is_sent(
    loops: Callable[..., DeliveryLoop], metrics: Metrics
) -> None:
    database, channel = FakeDatabase(), TellingChannel()
    await alert(database)

    await loops(channel, FakeNotifications(database), metrics).start()

    await asyncio.wait_for(channel.called.wait(), WITHIN_S)


async def test_a_new_alert_is_sent_at_once_when_the_loop_is_woken(
    loops: Callable[..., DeliveryLoop], metrics: Metrics
) -> None:
    database, channel = FakeDatabase(), TellingChannel()
    await alert(database)
    loop = loops(channel, FakeNotifications(database), metrics)
    await loop.start()
    await asyncio.wait_for(channel.called.wait(), WITHIN_S)
    channel.called.clear()

    await alert(database, "u-2")
    loop.wake()

    await asyncio.wait_for(channel.called.wait(), WITHIN_S)


@pytest.mark.parametrize("error", [StoreUnavailable("away"), RejectedByStore("no"), KeyError("a")])
async def test_the_loop_outlives_every_failure_of_its_store(
    loops: Callable[..., DeliveryLoop], metrics: Metrics, error: Exception
) -> None:
    database, channel = FakeDatabase(), TellingChannel()
    await alert(database)
    loop = loops(channel, FlakyStore(database, away_for=3, saying=error), metrics)

    await loop.start()

    await asyncio.wait_for(channel.called.wait(), WITHIN_S)
    assert loop.alive()


async def test_attempts_are_counted_by_result_and_what_was_given_up_apart(
    loops: Callable[..., DeliveryLoop], metrics: Metrics
) -> None:
    database, channel = FakeDatabase(), TellingChannel(Answer(Result.PERMANENT, "http 410"))
    await alert(database)
    loop = loops(channel, FakeNotifications(database), metrics)
    await loop.start()
    await asyncio.wait_for(channel.called.wait(), WITHIN_S)

    await loop.stop()

    counted = {
        sample.labels["result"]: sample.value
        for family in metrics.registry.collect()
        for sample in family.samples
        if sample.name == "ebbtide_notifications_total"
    }
    assert counted == {"permanent": 1.0, "given_up": 1.0}
    assert not loop.alive()
