"""What the lanes of one process share, and what each shows of itself."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from shared.clock import Clock
from shared.lanes.limits import LaneLimits
from shared.lanes.work import LaneWork
from shared.observability.metrics import Metrics


@dataclass(frozen=True, slots=True)
class LaneSetup:
    """The parts that every lane works with. `sent` is called when a commit left messages behind.

    `crowd` lets in so many lanes with much in hand at once, `small_turns` so many with little. Lanes share one
    core: with all of them at work each transaction would take as long as all together, hold its locks that
    long, and run out of time.
    """

    worker: str
    work: LaneWork
    clock: Clock
    metrics: Metrics
    bootstrap: str
    dsn: str
    keeps_ledger: bool
    limits: LaneLimits
    sent: Callable[[], None]
    crowd: asyncio.Semaphore
    small_turns: asyncio.Semaphore


@dataclass(slots=True)
class Pulse:
    """What the watchdog and the health look at. Times are the event loop's."""

    alive_at: float  # the last turn ended, or a new life began
    moved_at: float  # the position last changed, or had no known reason to
    progressed_at: float | None = None  # the position last changed, or was known to be at the end
    folded_at: float | None = None
    position: int | None = None
    end: int | None = None
    trouble: str = ""

    def begin_life(self, now: float) -> None:
        """Start counting anew: what the last life was waiting for is over."""
        self.alive_at = self.moved_at = now
        self.position = self.end = None

    def note_turn(self, now: float, *, position: int, end: int | None) -> None:
        """Note a committed turn that began at the position noted last."""
        self.alive_at = self.folded_at = now
        self.end = self.end if end is None else end
        moved = self.position is not None and position != self.position
        if moved or (self.end is not None and self.end <= position):
            self.progressed_at = now
        if moved or self.end is None or self.end <= position:
            self.moved_at = now
        self.position = position
        self.trouble = ""
