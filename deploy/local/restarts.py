"""When a program that ended is started again: sooner the first time, and not for ever."""

from dataclasses import dataclass

FIRST_S = 0.5
LONGEST_S = 15.0
AT_MOST = 8
# A program that ran this long had recovered: what happens next counts as a first time.
HEALED_S = 60.0
# What services exit with on a bad configuration: the same start fails again.
BAD_CONFIGURATION = 2


@dataclass(slots=True)
class Restarts:
    """The crashes of one program. Times are seconds of the monotonic clock."""

    started_at: float
    crashes: int = 0
    due_at: float | None = None

    def ended(self, *, at: float, status: int) -> float | None:
        """Note an end; return the seconds until the next start, or None to give up."""
        if at - self.started_at >= HEALED_S:
            self.crashes = 0
        self.crashes += 1
        if status == BAD_CONFIGURATION or self.crashes > AT_MOST:
            return None
        delay = min(FIRST_S * 2.0 ** (self.crashes - 1), LONGEST_S)
        self.due_at = at + delay
        return delay

    def started(self, *, at: float) -> None:
        self.started_at, self.due_at = at, None
