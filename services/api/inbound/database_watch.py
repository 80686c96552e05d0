"""Asks every second whether the database answers, so that a probe need not wait for it."""

import asyncio
from collections.abc import Awaitable, Callable

from shared.http.probes import Health

EVERY_S = 1.0


class DatabaseWatch:
    """A part of the process whose `health` is at most a few seconds old."""

    def __init__(self, answers: Callable[[], Awaitable[bool]]) -> None:
        self._answers = answers
        self._well = False
        self._asking: asyncio.Task[None] | None = None

    async def start(self) -> None:
        self._well = await self._answers()
        self._asking = asyncio.create_task(self._ask())

    async def stop(self) -> None:
        if self._asking is not None:
            self._asking.cancel()
            await asyncio.wait({self._asking})

    def health(self) -> Health:
        return Health(
            self._well, {"database": "ok" if self._well else "the database does not answer"}
        )

    def live(self) -> Health:
        """Say whether it still asks: nothing but a restart would make it ask again."""
        asks = self._asking is None or not self._asking.done() or self._asking.cancelled()
        return Health(asks, {"database watch": "ok" if asks else "ended"})

    async def _ask(self) -> None:
        while True:
            await asyncio.sleep(EVERY_S)
            self._well = await self._answers()
