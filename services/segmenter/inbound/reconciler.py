"""Recounts a sample now and then, in whichever process comes first."""

import asyncio
import contextlib
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Protocol

from services.segmenter.domain.calendar import Calendar
from services.segmenter.usecases.reconcile import Evidence, Report, reconcile
from shared.clock import Clock
from shared.errors import RetryableError
from shared.observability import metrics as m
from shared.observability.logging import log
from shared.observability.metrics import Metrics

_logger = log(__name__)

STOP_S = 5.0


class Book(Protocol):
    """Where evidence comes from and reports are kept."""

    def evidence(self) -> AbstractAsyncContextManager[Evidence]: ...

    async def keep(self, report: Report) -> None: ...


@dataclass(frozen=True, slots=True)
class Pace:
    """How many users to recount, and how often; 0 s: never."""

    every_s: float
    users: int


class Reconciler:
    """One task; a part of the process. `book` gives None while another process recounts."""

    def __init__(
        self,
        *,
        book: Callable[[], AbstractAsyncContextManager[Book | None]],
        calendar: Calendar,
        clock: Clock,
        pace: Pace,
        metrics: Metrics,
    ) -> None:
        self._book = book
        self._calendar = calendar
        self._clock = clock
        self._pace = pace
        self._metrics = metrics
        self._stopping = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        if self._pace.every_s > 0:
            self._task = asyncio.create_task(self._work(), name="reconciler")

    async def stop(self) -> None:
        """End the run in hand, which only reads, if it does not end soon."""
        self._stopping.set()
        if self._task is not None:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._task, STOP_S)

    def ended(self) -> str:
        """Say why it no longer works; empty: it does."""
        return "ended: reconciler" if self._task is not None and self._task.done() else ""

    async def beat(self) -> Report | None:
        """Recount a sample; None: another process does. Raises RetryableError."""
        async with self._book() as book:
            if book is None:
                return None
            async with book.evidence() as evidence:
                report = await reconcile(
                    evidence,
                    users=self._pace.users,
                    calendar=self._calendar,
                    now=self._clock.now(),
                )
            await book.keep(report)
        self._tell(report)
        return report

    def _tell(self, report: Report) -> None:
        for what, outcome, number in (
            ("user", "same", report.users_checked - report.users_differing),
            ("user", "differs", report.users_differing),
            ("user", "skipped", report.users_skipped),
            ("cell", "same", report.cells_checked - report.cells_differing),
            ("cell", "differs", report.cells_differing),
        ):
            self._metrics.count(m.RECONCILED, what, outcome, by=number)
        if report.differences:
            # Which ones is in the table: ids are no matter for a log.
            _logger.error(
                "recount_differs",
                users=report.users_differing,
                cells=report.cells_differing,
                fields=sorted({each.field for each in report.differences}),
            )

    async def _work(self) -> None:
        """Wait first: processes that start together, or again and again, do not all recount."""
        while True:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), self._pace.every_s)
            if self._stopping.is_set():
                return
            try:
                await self.beat()
            except RetryableError as error:
                _logger.warning("not_reconciled", error=str(error))
            except Exception:  # the loop: a recount that fails must not stop the lanes
                _logger.exception("not_reconciled")
