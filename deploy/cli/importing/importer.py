"""Imports one file: reads ahead a little, sends several pieces at once, and is done in their order."""

import asyncio
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from deploy.cli.importing.chunks import Chunk
from deploy.cli.importing.judging import Rejected
from deploy.cli.importing.progress_file import Progress, ProgressFile
from deploy.cli.importing.rejects import RejectsFile
from deploy.cli.importing.rows import Unreadable
from deploy.cli.importing.sender import Pace, Refusal

SAVE_EVERY_S = 0.5
LEAVE_S = 15.0  # for what is on its way when the import is told to stop

_OnItsWay = deque[asyncio.Task[tuple[Chunk, list[Rejected]]]]


@dataclass(frozen=True, slots=True)
class Limits:
    """How much is done at once, and how many rejects are too many."""

    in_flight: int
    max_rejects: int | None
    save_every_s: float = SAVE_EVERY_S


class EventSender(Protocol):
    async def send(self, events: Sequence[bytes]) -> list[Refusal]:
        """Return those that are refused; all others are acknowledged. Raises NoServer."""
        ...


class TooManyRejects(Exception):
    """More rows were rejected than was allowed."""


class Importer:
    """Progress is told and kept for what is done without a gap, never for what is only on its way."""

    def __init__(
        self,
        sender: EventSender,
        *,
        pace: Pace,
        limits: Limits,
        progress: ProgressFile,
        rejects: RejectsFile,
        told: Callable[[Progress], None],
    ) -> None:
        self._sender = sender
        self._pace = pace
        self._limits = limits
        self._file = progress
        self._rejects = rejects
        self._told = told
        self._saved_at = 0.0

    async def run(
        self, chunks: Iterator[Chunk], begun: Progress, *, stop: asyncio.Event
    ) -> Progress:
        """Import what is left; return how far it got when it ended or was told to stop.

        Raises NoServer, Failed and TooManyRejects, after what was done is kept.
        """
        on_its_way: _OnItsWay = deque()
        self._done = begun
        try:
            async for chunk in _AsyncChunks(chunks, stop):
                on_its_way.append(asyncio.create_task(self._send(chunk)))
                if len(on_its_way) >= self._limits.in_flight:
                    await self._finish(on_its_way, stop)
            while on_its_way and not stop.is_set():
                await self._finish(on_its_way, stop)
            await self._leave(on_its_way)
        except Unreadable:
            await self._leave(on_its_way)
            raise
        finally:
            for task in on_its_way:
                task.cancel()
            await asyncio.gather(*on_its_way, return_exceptions=True)
            self._save()
        return self._done

    async def _send(self, chunk: Chunk) -> tuple[Chunk, list[Rejected]]:
        await self._pace.let_through(len(chunk.events))
        refusals = await self._sender.send([event.body for event in chunk.events])
        refused = []
        for each in refusals:
            event = chunk.events[each.index]
            refused.append(Rejected(event.line, each.code, each.reason, event.raw, event.end))
        return chunk, sorted([*chunk.rejected, *refused], key=lambda each: each.line)

    async def _finish(self, on_its_way: _OnItsWay, stop: asyncio.Event) -> None:
        """Wait for the first, unless it is time to stop, and count it as done."""
        stopped = asyncio.create_task(stop.wait())
        try:
            await asyncio.wait({on_its_way[0], stopped}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            stopped.cancel()
        if on_its_way[0].done():
            self._count(*on_its_way[0].result())
            on_its_way.popleft()

    async def _leave(self, on_its_way: _OnItsWay) -> None:
        if on_its_way:
            await asyncio.wait(on_its_way, timeout=LEAVE_S)
        while on_its_way and on_its_way[0].done():
            self._count(*on_its_way[0].result())
            on_its_way.popleft()

    def _count(self, chunk: Chunk, rejected: list[Rejected]) -> None:
        self._rejects.add(rejected)
        self._done = self._done.after(
            chunk.end, accepted=chunk.rows - len(rejected), rejected=len(rejected)
        )
        self._told(self._done)
        if asyncio.get_running_loop().time() - self._saved_at >= self._limits.save_every_s:
            self._save()
        most = self._limits.max_rejects
        if most is not None and self._done.rejected > most:
            raise TooManyRejects

    def _save(self) -> None:
        # The rejects first: what the progress says of them must be there.
        self._done = replace(self._done, rejects_bytes=self._rejects.save())
        self._file.save(self._done)
        self._saved_at = asyncio.get_running_loop().time()


class _AsyncChunks:
    """Reads in a thread, so that answers are not kept waiting."""

    def __init__(self, chunks: Iterator[Chunk], stop: asyncio.Event) -> None:
        self._chunks = chunks
        self._stop = stop

    def __aiter__(self) -> "_AsyncChunks":
        return self

    async def __anext__(self) -> Chunk:
        if self._stop.is_set():
            raise StopAsyncIteration
        chunk = await asyncio.to_thread(next, self._chunks, None)
        if chunk is None:
            raise StopAsyncIteration
        return chunk
