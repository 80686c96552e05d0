"""Whatever comes in whatever order: an alert fires for those who are churned, and for nobody else."""

import random
from collections.abc import AsyncIterator
from dataclasses import dataclass

import asyncpg
import pytest
import pytest_asyncio
from prometheus_client import CollectorRegistry

from services.alerts.inbound.transition_lane import TransitionLane
from services.alerts.outbound.alert_store import AlertStore
from shared.database.connection import Connection
from shared.kafka.records import Record
from shared.lanes.work import Batch
from shared.observability.metrics import Metrics
from tests.integration.segmenter.kit import Site, day, event, site_on
from tests.servers import Database

pytestmark = pytest.mark.postgres

# Days between one thing and the next, and by how many days an event is late: about the thresholds.
PAUSES = [0.1, 0.5, 1, 5, 8, 29.9, 30, 31, 40]
LATE_BY = [0.3, 1, 5, 10, 29.7, 30.05, 30.5, 31, 40, 60]
END = day(1_000)


@dataclass
class Pair:
    """The segmenter, and alerts behind it reading its outbox in order."""

    segmenter: Site
    alerts: Connection
    lane: TransitionLane
    read_to: int = 0

    async def pass_on(self) -> None:
        rows = await self.segmenter.owner.fetch(
            "SELECT id, value FROM outbox_messages WHERE id > $1 ORDER BY id, place", self.read_to
        )
        if rows:
            self.read_to = rows[-1]["id"]
            records = [Record(row["id"], 0, b"key", row["value"]) for row in rows]
            async with self.alerts.transaction():
                await self.lane.apply(self.alerts, Batch("alerts", "t", 0, records, END, END))

    async def disagreement(self, user_id: str) -> str:
        user = await self.segmenter.user(user_id)
        firing = await self.segmenter.owner.fetch(
            "SELECT transition_id FROM alerts WHERE user_id = $1 AND state = 'firing'", user_id
        )
        churn = await self.segmenter.owner.fetchrow(
            "SELECT transition_id, historical FROM transitions"
            " WHERE user_id = $1 AND after = 'churned' AND at = $2 AND retracted_at IS NULL",
            user_id,
            user["lifecycle_since"],
        )
        if user["lifecycle"] != "churned" or churn is None:
            return f"fires for a user who is {user['lifecycle']}" if firing else ""
        if [row["transition_id"] for row in firing] not in ([churn["transition_id"]], []):
            return "fires for another churn than the one that stands"
        return "" if firing or churn["historical"] else "does not fire for a churn"


@pytest_asyncio.fixture
async def pair(database: Database) -> AsyncIterator[Pair]:
    connection = await asyncpg.connect(database.alerts)
    lane = TransitionLane(
        book=AlertStore,
        channels=["webhook"],
        metrics=Metrics(CollectorRegistry()),
        alerted=lambda: None,
    )
    async with site_on(database) as segmenter:
        yield Pair(segmenter, connection, lane)
    await connection.close()


async def step(site: Site, user_id: str, at: float, draw: random.Random) -> str:
    """Let something happen; return what, for whoever must understand a failure."""
    kind = draw.choice(["time", "event", "late", "late", "import"])
    if kind == "time":
        await site.sweep(day(at))
        return f"time passes to {at}"
    happened = at if kind == "event" else max(0.0, at - draw.choice(LATE_BY))
    came = event(
        user_id,
        day(happened),
        received_at=day(at),
        historical=kind == "import",
        event_id=f"{user_id}/{draw.random()}",
    )
    watermark = draw.choice([day(at), None])
    await site.fold(came, watermark=watermark)
    return f"{kind} of {happened} at {at}, watermark {watermark}"


@pytest.mark.parametrize("seed", range(4))
async def test_alerts_fire_for_those_who_are_churned_and_for_nobody_else(
    pair: Pair, seed: int
) -> None:
    for script in range(15):
        draw, user_id, at = random.Random(f"{seed}/{script}"), f"user-{script}", 0.0
        await pair.segmenter.fold(event(user_id, day(at)), watermark=None)
        told = ["first seen"]
        for _ in range(draw.randint(2, 6)):
            at += draw.choice(PAUSES)
            told.append(await step(pair.segmenter, user_id, at, draw))
            await pair.pass_on()
            assert not (wrong := await pair.disagreement(user_id)), (wrong, told)
        # Its deadlines would come due with the next script's time, which begins anew.
        await pair.segmenter.owner.execute("UPDATE users SET deadline = NULL, deadline_to = NULL")
