"""Finds lanes that hang: no turn ends, or the log has more and the position stays. Pure."""

from shared.database.lease import Partition
from shared.lanes.setup import Pulse


class Watchdog:
    """Remembers which lanes were found stuck, and which twice in a row, until they fold again."""

    def __init__(self, *, stuck_s: float) -> None:
        self._stuck_s = stuck_s
        self._found_at: dict[Partition, float] = {}
        self._hopeless: set[Partition] = set()

    @property
    def hopeless(self) -> str:
        """Name a lane that was stuck again and has not folded since; empty: none."""
        return min((f"{each.topic}/{each.part}" for each in self._hopeless), default="")

    def finds_stuck(self, partition: Partition, pulse: Pulse, *, now: float) -> bool:
        """Say whether the lane must be started anew; a second time in a row names it hopeless.

        One that was just found has the same time again, be it to end or to begin.
        """
        found_at = self._found_at.get(partition)
        if found_at is not None and (pulse.progressed_at or found_at) > found_at:
            del self._found_at[partition]
            self._hopeless.discard(partition)
            found_at = None
        just_found = found_at is not None and now - found_at <= self._stuck_s
        if just_found or not self._is_stuck(pulse, now):
            return False
        if found_at is not None:
            self._hopeless.add(partition)
        self._found_at[partition] = now
        return True

    def _is_stuck(self, pulse: Pulse, now: float) -> bool:
        hangs = now - pulse.alive_at > self._stuck_s
        has_more = (
            pulse.end is not None and pulse.position is not None and pulse.end > pulse.position
        )
        return hangs or (has_more and now - pulse.moved_at > self._stuck_s)
