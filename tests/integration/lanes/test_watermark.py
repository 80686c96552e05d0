"""How far time may pass: to now where the log is read out, to the last receipt where it is not."""

import asyncio
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

import pytest

from shared.clock import Clock
from shared.database.connection import Connection
from shared.lanes.work import Applied, Batch
from tests.integration.lanes.kit import Gate, TinyWork, World, until

pytestmark = [pytest.mark.kafka, pytest.mark.postgres]

NOON = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
MARGIN = timedelta(milliseconds=250)


class StoppedClock(Clock):
    def __init__(self, instant: datetime) -> None:
        self.instant = instant

    def now(self) -> datetime:
        return self.instant


@dataclass
class LongSweep(TinyWork):
    """Has more users due, up to the watermark, until it is told that they are swept."""

    swept: asyncio.Event = field(default_factory=asyncio.Event)

    async def apply(self, connection: Connection, batch: Batch) -> Applied:
        applied = await super().apply(connection, batch)
        return replace(applied, more_due=not self.swept.is_set())


async def test_a_partition_that_is_read_out_follows_the_clock(lanes_world: World) -> None:
    world, clock = lanes_world, StoppedClock(NOON)
    await world.worker("one", clock=clock)
    await until(lambda: _watermark(world, NOON - MARGIN))

    clock.instant = NOON + timedelta(days=30)

    await until(lambda: _watermark(world, NOON + timedelta(days=30) - MARGIN))


async def test_a_backlog_holds_the_watermark_at_the_last_receipt_folded(
    lanes_world: World,
) -> None:
    world, gate = lanes_world, Gate()
    received = [NOON - timedelta(hours=hours) for hours in (3, 2, 1)]
    for instant in received:
        await world.producer.send_and_wait(
            world.topic, b"x", partition=0, timestamp_ms=int(instant.timestamp() * 1000)
        )
    work = TinyWork(before=gate.hold)

    await world.worker("one", clock=StoppedClock(NOON), work=work)
    await gate.reached.wait()
    idle = [batch for batch in work.batches if batch.part == 0 and not batch.records]
    gate.opened.set()
    await until(lambda: _watermark(world, NOON - MARGIN))

    assert idle == []
    folded = [batch for batch in work.batches if batch.part == 0]
    assert all(batch.watermark is None or batch.watermark <= NOON for batch in folded)


async def test_the_watermark_survives_a_change_of_owner_and_never_falls(
    lanes_world: World,
) -> None:
    world, clock = lanes_world, StoppedClock(NOON)
    one = await world.worker("one", clock=clock)
    await until(lambda: _watermark(world, NOON - MARGIN))
    await world.stop(one)

    work = TinyWork()
    await world.worker("two", clock=StoppedClock(NOON - timedelta(days=1)), work=work)
    await until(lambda: _folded(work))

    assert await _watermark(world, NOON - MARGIN)
    # To the work it is never beyond its own now.
    assert {batch.watermark for batch in work.batches} == {NOON - timedelta(days=1)}


async def test_a_watermark_is_told_to_nobody_before_all_that_is_due_by_it_is_swept(
    lanes_world: World,
) -> None:
    world, work = lanes_world, LongSweep()

    await world.worker("one", clock=StoppedClock(NOON), work=work)
    await until(lambda: _reached(work, NOON - MARGIN))
    told = (await world.row())["watermark"]
    work.swept.set()

    await until(lambda: _watermark(world, NOON - MARGIN))
    assert told is None


async def _watermark(world: World, wanted: datetime) -> bool:
    rows = await world.owner.fetch(
        "SELECT watermark FROM consumer_partition WHERE grp = $1 AND part = 0", world.group
    )
    return bool(rows) and rows[0]["watermark"] == wanted


async def _folded(work: TinyWork) -> bool:
    return {batch.part for batch in work.batches} == set(range(6))


async def _reached(work: TinyWork, watermark: datetime) -> bool:
    """Say whether some turns of the first partition swept up to there."""
    turns = [batch for batch in work.batches if batch.part == 0 and batch.watermark == watermark]
    return len(turns) > 3
