"""Reads on while the lane folds: what comes meanwhile is here when the lane is done, and not a turn later.

The client by itself fetches the first records that come, and asks for no more until somebody takes those.
"""

import asyncio
from typing import Protocol

from shared.errors import BrokerUnavailable
from shared.kafka.consumer import Fetched
from shared.kafka.records import Record

# How long one question waits for records. Then comes the next.
_WAIT_S = 0.25
# A question ends by itself; this is for the day when it does not.
HANGS_S = 10.0
# Where there is much, the client has the rest of a fetch in hand, and the next one nearly.
_ROUNDS = 2
_SOON_S = 0.005


class Source(Protocol):
    """Where records come from, in the order of their offsets, each once; one question at a time."""

    async def fetch(self, *, limit: int, timeout_s: float) -> Fetched: ...


class ReadAhead:
    """Holds at most `most` records that nobody asked for yet: of a backlog the source keeps the rest.

    Begins where the source stands; to move the source, stop this one first, and make another.
    """

    def __init__(self, source: Source, *, most: int) -> None:
        self._source = source
        self._most = most
        self._held: list[Record] = []
        self._next_offset = 0
        self._news = asyncio.Event()
        self._reading = self._read_on()

    @property
    def is_full(self) -> bool:
        return len(self._held) >= self._most

    @property
    def has_news(self) -> bool:
        """Say whether `take` has anything to return, or to raise."""
        return self._news.is_set()

    async def news(self) -> None:
        """Wait until there is any."""
        await self._news.wait()

    async def take(self, limit: int) -> Fetched:
        """Return what has come by now, and of a backlog as much as `limit`.

        Raises what the source raises, once all that came before is taken, and BrokerUnavailable where it does
        not answer at all. Nothing is lost when it is cancelled.
        """
        failed = self._reading.done() and self._reading.exception() is not None
        if self._reading.done() and not (failed and self._held):
            self._reading.result()
            await self._fill(limit)
        taken, self._held = self._held[:limit], self._held[limit:]
        if self._reading.done() and not (failed or self.is_full):
            self._reading = self._read_on()
        if not (self._held or self._reading.done()):
            self._news.clear()
        return Fetched(taken, self._held[0].offset if self._held else self._next_offset)

    async def stop(self) -> None:
        """End the reading, and forget what is held. Never raises."""
        self._reading.cancel()
        await asyncio.wait({self._reading})

    def _read_on(self) -> asyncio.Task[None]:
        reading = asyncio.create_task(self._read())
        reading.add_done_callback(lambda _: self._news.set())
        return reading

    async def _read(self) -> None:
        while not self.is_full:
            await self._fetch(self._most - len(self._held), timeout_s=_WAIT_S)

    async def _fill(self, limit: int) -> None:
        for _ in range(_ROUNDS):
            if len(self._held) < limit:
                await self._fetch(limit - len(self._held), timeout_s=_SOON_S)

    async def _fetch(self, limit: int, *, timeout_s: float) -> None:
        try:
            async with asyncio.timeout(HANGS_S):
                fetched = await self._source.fetch(limit=limit, timeout_s=timeout_s)
        except TimeoutError:
            raise BrokerUnavailable("the fetch does not end") from None
        self._held += fetched.records
        self._next_offset = fetched.next_offset
        if fetched.records:
            self._news.set()
