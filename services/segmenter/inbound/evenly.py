"""So many a second, evenly: what mends must leave room for what goes on."""

import asyncio

# So much of what was missed is caught up with, and no more.
_CATCH_UP_S = 1.0


class Evenly:
    """Lets through at most so many a second, counted from when it was made."""

    def __init__(self, per_s: float) -> None:
        self._pause_s = 1 / per_s
        self._free_at = asyncio.get_running_loop().time()

    async def turn(self) -> None:
        """Wait until it is the next one's turn."""
        loop = asyncio.get_running_loop()
        await asyncio.sleep(max(0.0, self._free_at - loop.time()))
        self._free_at = max(self._free_at, loop.time() - _CATCH_UP_S) + self._pause_s
