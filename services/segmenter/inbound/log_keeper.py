"""Looks after the event log, and the jobs that ended, once a minute, in whichever process comes first."""

import asyncio
import contextlib
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Protocol

from services.segmenter.usecases.forget_jobs import EndedJobs, forget_jobs
from services.segmenter.usecases.keep_log import LogShelf, Shortened, keep_log
from shared.clock import Clock
from shared.errors import RetryableError
from shared.observability import metrics as m
from shared.observability.logging import log
from shared.observability.metrics import Metrics

_logger = log(__name__)

BEAT_S = 60.0
STOP_S = 5.0


class Shelf(LogShelf, EndedJobs, Protocol):
    """All that is looked after."""


@dataclass(frozen=True, slots=True)
class KeptFor:
    """How long things are kept; None: for ever."""

    events: timedelta | None = None
    ended_jobs: timedelta | None = None


class LogKeeper:
    """One task; a part of the process.

    `shelf` opens it for one beat, and gives None while another process looks after it.
    """

    def __init__(
        self,
        *,
        shelf: Callable[[], AbstractAsyncContextManager[Shelf | None]],
        clock: Clock,
        keep_for: KeptFor,
        metrics: Metrics,
        beat_s: float = BEAT_S,
    ) -> None:
        self._shelf = shelf
        self._clock = clock
        self._keep_for = keep_for
        self._metrics = metrics
        self._beat_s = beat_s
        self._stopping = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        self._task = asyncio.create_task(self._work(), name="log_keeper")

    async def stop(self) -> None:
        """Finish the beat in hand, if it ends soon; what it leaves is done at somebody's next."""
        self._stopping.set()
        if self._task is not None:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._task, STOP_S)

    def ended(self) -> str:
        """Say why it no longer works; empty: it does."""
        return "ended: log_keeper" if self._task is not None and self._task.done() else ""

    async def beat(self) -> None:
        """Look after the log once. Raises RetryableError."""
        now = self._clock.now()
        async with self._shelf() as shelf:
            if shelf is None:
                return
            shortened = await keep_log(shelf, now=now, keep_for=self._keep_for.events)
            oldest = await shelf.oldest_day()
            self._tell(shortened, oldest, now=now)
            forgotten = await forget_jobs(shelf, now=now, keep_for=self._keep_for.ended_jobs)
        if forgotten:
            self._metrics.count(m.JOBS_FORGOTTEN, by=forgotten)
            _logger.info("jobs_forgotten", jobs=forgotten)

    def _tell(self, shortened: Shortened, oldest: date | None, *, now: datetime) -> None:
        for name in shortened.dropped:
            self._metrics.count(m.EVENT_LOG_DROPPED)
            _logger.info("events_partition_dropped", name=name)
        if shortened.put_off:
            self._metrics.count(m.EVENT_LOG_PUT_OFF)
            _logger.info("events_partition_not_dropped_yet", why="the lanes are busy")
        if oldest is not None:
            began = datetime(oldest.year, oldest.month, oldest.day, tzinfo=UTC)
            self._metrics.set(m.EVENT_LOG_REACH_SECONDS, (now - began).total_seconds())

    async def _work(self) -> None:
        while not self._stopping.is_set():
            try:
                await self.beat()
            except RetryableError as error:
                _logger.warning("event_log_not_kept", error=str(error))
            except Exception:  # the loop: lanes make their own room meanwhile
                _logger.exception("event_log_not_kept")
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), self._beat_s)
