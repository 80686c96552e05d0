"""Takes jobs and works on them, one of each kind at a time, beside the lanes."""

import asyncio
import contextlib
from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from functools import partial
from uuid import UUID

from services.segmenter.usecases.run_jobs import JobDesk, JobKind, pause_s, run_step
from shared.clock import Clock
from shared.database.connection import Connection
from shared.errors import RetryableError
from shared.lanes.limits import Backoff, LaneLimits
from shared.observability import metrics as m
from shared.observability.logging import log
from shared.observability.metrics import Metrics

_logger = log(__name__)

LOOK_S = 1.0
STOP_S = 8.0

Desks = Callable[[], AbstractAsyncContextManager[JobDesk[Connection]]]


class JobRunner:
    """A part of the process. One connection looks for jobs; each that is found gets one of its own."""

    def __init__(
        self,
        *,
        desks: Desks,
        kinds: Mapping[str, JobKind[Connection]],
        clock: Clock,
        metrics: Metrics,
        look_s: float = LOOK_S,
    ) -> None:
        self._desks = desks
        self._kinds = kinds
        self._clock = clock
        self._metrics = metrics
        self._look_s = look_s
        self._stopping = asyncio.Event()
        self._looking: asyncio.Task[None] | None = None
        self._working: dict[str, asyncio.Task[None]] = {}

    async def start(self) -> None:
        self._looking = asyncio.create_task(self._look(), name="jobs")

    async def stop(self) -> None:
        """Finish the steps in hand, if they end soon, and let others go on with the jobs."""
        self._stopping.set()
        tasks = [task for task in (self._looking, *self._working.values()) if task is not None]
        if tasks:
            await asyncio.wait(tasks, timeout=STOP_S)

    def ended(self) -> str:
        """Say why it no longer works; empty: it does."""
        return "ended: jobs" if self._looking is not None and self._looking.done() else ""

    async def _look(self) -> None:
        """Take jobs until stopped. Errors start it anew."""
        backoff = Backoff(LaneLimits())
        while not self._stopping.is_set():
            try:
                async with self._desks() as desk:
                    while not self._stopping.is_set():
                        await self._take(desk)
                        backoff.reset()
                        await self._rest(self._look_s)
            except RetryableError as error:
                _logger.warning("jobs_not_looked_at", error=str(error))
            except Exception:  # the loop: the lanes go on without it
                _logger.exception("jobs_not_looked_at")
            await self._rest(backoff.next_s())

    async def _take(self, desk: JobDesk[Connection]) -> None:
        while free := [kind for kind in self._kinds if kind not in self._working]:
            taken = await desk.take(free, now=self._clock.now())
            if taken is None:
                return
            job_id, kind = taken
            _logger.info("job_taken", job_id=str(job_id), kind=kind)
            task = asyncio.create_task(self._work(job_id, kind), name=f"job {job_id}")
            self._working[kind] = task
            task.add_done_callback(partial(self._forget, kind))

    def _forget(self, kind: str, _done: "asyncio.Task[None]") -> None:
        del self._working[kind]

    async def _work(self, job_id: UUID, kind: str) -> None:
        """Work on a job to its end, or until it is somebody else's."""
        backoff = Backoff(LaneLimits())
        while not self._stopping.is_set():
            try:
                async with self._desks() as desk:
                    while await self._step(desk, job_id, kind):
                        backoff.reset()
                    return
            except RetryableError as error:
                self._metrics.count(m.JOB_STEPS, kind, "retried")
                _logger.warning("job_step_retried", job_id=str(job_id), kind=kind, error=str(error))
            except Exception:  # it has failed for good, and its row says why
                self._metrics.count(m.JOB_STEPS, kind, "failed")
                _logger.exception("job_failed", job_id=str(job_id), kind=kind)
                return
            await self._rest(backoff.next_s())

    async def _step(self, desk: JobDesk[Connection], job_id: UUID, kind: str) -> bool:
        """Do one step and rest as the rate asks; return whether another is wanted."""
        if self._stopping.is_set():
            await desk.release(job_id)
            return False
        work, loop = self._kinds[kind], asyncio.get_running_loop()
        began = loop.time()
        stepped = await run_step(job_id, desk=desk, kind=work, now=self._clock.now())
        took = loop.time() - began
        if stepped is None:
            _logger.info("job_is_not_ours", job_id=str(job_id), kind=kind)
            return False
        self._metrics.count(m.JOB_STEPS, kind, "waited" if stepped.waits else "done")
        self._metrics.count(m.JOB_WORK, kind, by=stepped.work)
        self._metrics.observe(m.JOB_STEP_SECONDS, took, kind)
        if stepped.cursor is None:
            _logger.info("job_done", job_id=str(job_id), kind=kind, work=stepped.done)
            return False
        await self._rest(pause_s(stepped, rate=work.rate, took_s=took))
        return True

    async def _rest(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._stopping.wait(), seconds)
