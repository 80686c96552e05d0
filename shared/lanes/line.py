"""Where lanes stand in line to catch up: who came first is let in first, also before who was in there a moment ago."""

import asyncio


class Line:
    """One lane's place in the line before a room; at most one at a time."""

    def __init__(self, room: asyncio.Semaphore) -> None:
        self._room = room
        self._asked: asyncio.Task[bool] | None = None

    @property
    def is_let_in(self) -> bool:
        """Say whether there is room for the lane, which is kept for it until it leaves."""
        return self._asked is not None and self._asked.done()

    @property
    def open(self) -> set[asyncio.Task[bool]]:
        """Give what to wait for: to be let in, if the lane stands in line."""
        return set() if self._asked is None or self._asked.done() else {self._asked}

    def join(self) -> None:
        """Stand in line, or go on with it."""
        if self._asked is None:
            self._asked = asyncio.create_task(self._room.acquire())

    def leave(self) -> None:
        """Give up the place in line, or in the room."""
        asked, self._asked = self._asked, None
        if asked is None:
            return
        if asked.done() and not asked.cancelled():
            self._room.release()
        asked.cancel()
