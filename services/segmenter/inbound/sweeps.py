"""When a lane looks who is due, how many it takes, and past whom: what its last sweep left."""

from datetime import datetime, timedelta
from math import inf

from services.segmenter.usecases.ports import DuePlace
from services.segmenter.usecases.sweep_deadlines import (
    BESIDE_EVENTS,
    FIRST_SWEEP,
    SWEEP_LIMIT,
    Swept,
)
from shared.lanes.work import Batch
from shared.observability import metrics as m
from shared.observability.metrics import Metrics

# While events arrive, by the watermark and by the event loop's clock. A look costs a small transaction as much as
# folding its events does.
APART = timedelta(milliseconds=100)
# So long after an event, of whatever partition, others may be expected.
QUIET_AFTER_S = 1.0


class Sweeps:
    """Remembers for each partition what was committed. What is lost with the process costs a look."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        # Partitions whose last sweep could not write all that it found due, and where it left off.
        self._held_up: dict[int, DuePlace | None] = {}
        # Up to where a partition's last sweep has left nothing that was due.
        self._swept: dict[int, datetime] = {}
        # When it was, and when the latest events of any partition came, by the event loop's time.
        self._looked: dict[int, float] = {}
        self._events_at = -inf

    def see(self, batch: Batch, *, at: float) -> None:
        """Learn from every batch whether events come."""
        if batch.records:
            self._events_at = at

    def is_time(self, batch: Batch, *, at: float) -> bool:
        """Say whether to look at this moment of the loop's clock: always where no events wait for it.

        Product time may stand still, and users become due all the same: by a policy, by a merge.
        """
        if not batch.records or batch.watermark is None:
            return True
        last = self._swept.get(batch.part)
        moved_on = last is not None and not last <= batch.watermark < last + APART
        return moved_on or at >= self._looked.get(batch.part, -inf) + APART.total_seconds()

    def limit(self, batch: Batch, *, at: float) -> int:
        """Return how many due users to take: many also where the first few are held up, to get past them."""
        if not (batch.may_catch_up or batch.part in self._held_up):
            return FIRST_SWEEP
        return BESIDE_EVENTS if self.gives_way(at=at) else SWEEP_LIMIT

    def gives_way(self, *, at: float) -> bool:
        """Say whether events came by a moment ago."""
        return at < self._events_at + QUIET_AFTER_S

    def past(self, batch: Batch) -> DuePlace | None:
        return self._held_up.get(batch.part)

    def note(self, batch: Batch, swept: Swept, *, at: float) -> None:
        """Remember a sweep that was committed."""
        self._looked[batch.part] = at
        if swept.held_up:
            self._held_up[batch.part] = swept.past
        else:
            self._held_up.pop(batch.part, None)
        if batch.watermark is None or swept.held_up or swept.more_due:
            self._swept.pop(batch.part, None)
        else:
            self._swept[batch.part] = batch.watermark
        self._measure(batch, swept)

    def _measure(self, batch: Batch, swept: Swept) -> None:
        self._metrics.set(m.SWEEP_BEHIND_SECONDS, swept.behind.total_seconds(), str(batch.part))
        written = swept.history.written
        if written:
            users = {each.user_id: each.at for each in reversed(written)}
            delay = max(0.0, (batch.now - min(users.values())).total_seconds())
            self._metrics.count(m.SWEEP_USERS, by=len(users))
            self._metrics.observe(m.SWEEP_DELAY_SECONDS, delay)
