"""The most memory that each process held, sampled while the run goes on."""

import asyncio
import contextlib
from collections.abc import Callable, Mapping
from typing import Self

import psutil

EVERY_S = 0.2
MB = 1_000_000


class PeakMemory:
    """Samples the resident memory of the services; a service that restarts goes on under its name."""

    def __init__(self, pids: Callable[[], Mapping[str, int]]) -> None:
        self._pids = pids
        self._task: asyncio.Task[None] | None = None
        self.idle_mb: dict[str, float] = {}
        self.peak_mb: dict[str, float] = {}
        self._sample()

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._go_on())
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._task is not None
        self._task.cancel()
        await asyncio.wait({self._task})

    async def _go_on(self) -> None:
        while True:
            self._sample()
            await asyncio.sleep(EVERY_S)

    def _sample(self) -> None:
        for name, pid in self._pids().items():
            with contextlib.suppress(psutil.NoSuchProcess):
                size = psutil.Process(pid).memory_info().rss / MB
                self.idle_mb.setdefault(name, size)
                self.peak_mb[name] = max(size, self.peak_mb.get(name, 0.0))
