"""Finds lanes that hang: no turn ends, or the log has more and the position stays. Pure."""

from shared.database.lease import Partition
from shared.lanes.setup import Pulse


class Watchdog:
    """Remembers which lanes were found stuck, until they fold again."""

    def __init__(self, *, stuck_s: float) -> None:
        self._stuck_s = stuck_s
        self._found_at: dict[Partition, float] = {}
        self.hopeless = ""

    def finds_stuck(self, partition: Partition, pulse: Pulse, *, now: float) -> bool:
        """Say whether the lane must be started anew; a second time in a row names it hopeless."""
        found_at = self._found_at.get(partition)
        if found_at is not None and (pulse.progressed_at or found_at) > found_at:
            del self._found_at[partition]
            found_at = None
        if not self._is_stuck(pulse, now):
            return False
        if found_at is not None:
            self.hopeless = f"{partition.topic}/{partition.part}"
        self._found_at[partition] = now
        return True

    def _is_stuck(self, pulse: Pulse, now: float) -> bool:
        hangs = now - pulse.alive_at > self._stuck_s
        has_more = (
            pulse.end is not None and pulse.position is not None and pulse.end > pulse.position
        )
        return hangs or (has_more and now - pulse.moved_at > self._stuck_s)
