"""The loop that looks after the event log: it tells what it did, and no failure ends it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

import pytest
from prometheus_client import CollectorRegistry

from services.segmenter.inbound.log_keeper import KeptFor, LogKeeper, Shelf
from services.segmenter.usecases.forget_jobs import AT_ONCE, forget_jobs
from shared.errors import StoreUnavailable
from shared.observability import metrics as m
from shared.observability.metrics import Metrics
from tests.unit.segmenter.shelf import FakeShelf

NOW = datetime(2026, 6, 15, 12, tzinfo=UTC)
DAY = timedelta(days=1)


class StoppedClock:
    def now(self) -> datetime:
        return NOW


class Log:
    """Opens one shelf; `failing` are what the next looks meet instead, `taken` that another has it."""

    def __init__(self, *failing: Exception, taken: bool = False) -> None:
        self.shelf = FakeShelf(folded=NOW)
        self.failing = list(failing)
        self.taken = taken
        self.looked = asyncio.Semaphore(0)

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[Shelf | None]:
        self.looked.release()
        if self.failing:
            raise self.failing.pop(0)
        yield None if self.taken else self.shelf


def keeper(log: Log, *, beat_s: float = 3_600.0) -> tuple[LogKeeper, CollectorRegistry]:
    registry = CollectorRegistry()
    made = LogKeeper(
        shelf=log.opened,
        clock=StoppedClock(),
        keep_for=KeptFor(30 * DAY, 90 * DAY),
        metrics=Metrics(registry),
        beat_s=beat_s,
    )
    return made, registry


async def test_what_was_dropped_and_how_far_the_log_reaches_is_measured() -> None:
    log = Log()
    log.shelf.days = {NOW.date() - number * DAY for number in range(33)}
    log.shelf.told = log.shelf.raised = NOW.date() - 30 * DAY
    made, registry = keeper(log)

    await made.beat()

    assert registry.get_sample_value(m.EVENT_LOG_DROPPED.name) == 2
    assert registry.get_sample_value(m.EVENT_LOG_REACH_SECONDS.name) == 30.5 * 86_400


async def test_a_day_that_had_to_stay_is_counted() -> None:
    log = Log()
    log.shelf.busy_after = 0
    made, registry = keeper(log)

    await made.beat()

    assert registry.get_sample_value(m.EVENT_LOG_PUT_OFF.name) == 1


async def test_jobs_that_ended_long_ago_go_a_batch_at_a_time_and_are_counted() -> None:
    log = Log()
    log.shelf.ended_jobs = [NOW - 91 * DAY] * (AT_ONCE + 1) + [NOW - 90 * DAY, NOW]
    made, registry = keeper(log)

    await made.beat()
    assert registry.get_sample_value(m.JOBS_FORGOTTEN.name) == AT_ONCE
    await made.beat()

    assert log.shelf.ended_jobs == [NOW - 90 * DAY, NOW]


@pytest.mark.parametrize("keep_for", [None, timedelta(days=1_000_000)])
async def test_jobs_that_are_kept_for_ever_stay(keep_for: timedelta | None) -> None:
    shelf = FakeShelf(ended_jobs=[NOW - 9_000 * DAY])

    assert await forget_jobs(shelf, now=NOW, keep_for=keep_for) == 0
    assert len(shelf.ended_jobs) == 1


async def test_while_another_process_looks_after_the_log_nothing_is_touched() -> None:
    log = Log(taken=True)
    made, _ = keeper(log)

    await made.beat()

    assert log.shelf.days == set()


@pytest.mark.parametrize("error", [StoreUnavailable("away"), ValueError("a mistake of ours")])
async def test_a_failure_does_not_end_it(error: Exception) -> None:
    log = Log(error)
    made, _ = keeper(log, beat_s=0.001)

    await made.start()
    async with asyncio.timeout(5):
        await log.looked.acquire()
        await log.looked.acquire()
    assert made.ended() == ""
    await made.stop()

    assert len(log.shelf.days) == 4


async def test_it_says_that_it_has_ended() -> None:
    made, _ = keeper(Log())

    await made.start()
    await made.stop()

    assert made.ended() == "ended: log_keeper"
