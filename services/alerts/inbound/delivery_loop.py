"""Deliver what is due, all the time: when alerts change, and once a second for the retries."""

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from services.alerts.domain.delivery import GiveUp, RetryPolicy
from services.alerts.usecases.deliver import Attempted, DeliveryLimits, deliver_due
from services.alerts.usecases.ports import Channel, NotificationStore
from shared.errors import RetryableError
from shared.observability import metrics
from shared.observability.logging import log
from shared.observability.metrics import Metrics

_logger = log(__name__)


@dataclass(frozen=True, slots=True)
class Pace:
    """How often to look, and how long to wait after a failure of the store."""

    look_s: float = 1.0
    first_back_off_s: float = 0.1
    longest_back_off_s: float = 5.0
    count_every_s: float = 10.0
    drain_s: float = 15.0
    retries: RetryPolicy = field(default_factory=RetryPolicy)
    limits: DeliveryLimits = field(default_factory=DeliveryLimits)


class DeliveryLoop:
    """One task that delivers to every channel; a part of the process."""

    def __init__(
        self,
        *,
        channels: Sequence[Channel],
        store: NotificationStore,
        metrics: Metrics,
        draw: Callable[[], float],
        pace: Pace | None = None,
    ) -> None:
        self._channels = channels
        self._store = store
        self._metrics = metrics
        self._draw = draw
        self._pace = pace or Pace()
        self._wake = asyncio.Event()
        self._stopping = False
        self._task: asyncio.Task[None] | None = None
        self._counted_at = float("-inf")
        self._failures = 0

    async def start(self) -> None:
        self._task = asyncio.create_task(self._run(), name="delivery")

    async def stop(self) -> None:
        """Finish the attempts in hand; what they leave is due again when its lease ends."""
        self._stopping = True
        self._wake.set()
        if self._task is not None:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._task, self._pace.drain_s)

    def wake(self) -> None:
        """Look at once: alerts have changed."""
        self._wake.set()

    def alive(self) -> bool:
        return self._task is not None and not self._task.done()

    def ready(self) -> bool:
        return self._failures == 0

    async def _run(self) -> None:
        while not self._stopping:
            self._wake.clear()  # before looking, or a call during the look is lost
            wait_s = await self._look()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), wait_s)

    async def _look(self) -> float:
        """Deliver what is due and return how long to wait before the next look."""
        try:
            busy = await self._deliver()
            await self._count_pending()
        except RetryableError as error:
            _logger.warning("delivery_store_unavailable", error=str(error))
            return self._back_off_s()
        except Exception:  # the delivery loop: what one notice leads to must not keep the others
            _logger.exception("delivery_failed")
            return self._back_off_s()
        self._failures = 0
        return 0.0 if busy else self._pace.look_s * (0.8 + 0.4 * self._draw())

    def _back_off_s(self) -> float:
        self._failures += 1
        grown = self._pace.first_back_off_s * 2.0 ** min(self._failures, 20)
        return min(grown, self._pace.longest_back_off_s) * (0.5 + self._draw() / 2)

    async def _deliver(self) -> bool:
        """Return whether something was attempted, so that there may be more."""
        busy = False
        for channel in self._channels:
            attempts = await deliver_due(
                channel,
                self._store,
                policy=self._pace.retries,
                limits=self._pace.limits,
                draw=self._draw,
            )
            for attempted in attempts:
                self._tell(channel.name, attempted)
            busy = busy or bool(attempts)
        return busy

    def _tell(self, channel: str, attempted: Attempted) -> None:
        self._metrics.count(metrics.NOTIFICATIONS, channel, attempted.answer.result)
        if isinstance(attempted.next, GiveUp):
            self._metrics.count(metrics.NOTIFICATIONS, channel, "given_up")
            _logger.error("notification_given_up", channel=channel, why=attempted.next.why)

    async def _count_pending(self) -> None:
        now = asyncio.get_running_loop().time()
        if now - self._counted_at >= self._pace.count_every_s:
            self._counted_at = now
            pending = await self._store.pending()
            for channel in self._channels:
                waiting = pending.get(channel.name, 0)
                self._metrics.set(metrics.NOTIFICATIONS_PENDING, waiting, channel.name)
