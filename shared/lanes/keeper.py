"""Who works on what: a group's lanes as one part of a process, with their keeper and their relay."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from shared.clock import Clock
from shared.errors import RetryableError
from shared.kafka.log import Log
from shared.lanes.beats import Keeper
from shared.lanes.limits import LaneLimits
from shared.lanes.relay import Relay
from shared.lanes.setup import LaneSetup
from shared.lanes.work import LaneWork
from shared.observability.logging import log as logger_of
from shared.observability.metrics import Metrics

_logger = logger_of(__name__)

RELAY_STOP_S = 5.0


@dataclass(frozen=True, slots=True)
class LanesHealth:
    """`live`: not in need of a restart. `ready`: beating, every lane folds. `reason`: why not."""

    live: bool
    ready: bool
    reason: str


class Lanes:
    """Folds this process's share of the topics' partitions, exactly once, and sends its outbox."""

    def __init__(  # noqa: PLR0913  named arguments, once per group, in a service's wiring
        self,
        *,
        group: str,
        worker: str,
        topics: Sequence[str],
        work: LaneWork,
        clock: Clock,
        metrics: Metrics,
        bootstrap: str,
        dsn: str,
        log: Log | None = None,
        ledger: bool = False,
        limits: LaneLimits = LaneLimits(),  # noqa: B008  frozen
    ) -> None:
        self._setup = LaneSetup(
            worker=worker,
            work=work,
            clock=clock,
            metrics=metrics,
            bootstrap=bootstrap,
            dsn=dsn,
            keeps_ledger=ledger,
            limits=limits,
            sent=self._wake_relay,
            crowd=asyncio.Semaphore(limits.crowd),
            small_turns=asyncio.Semaphore(limits.small_turns),
        )
        self._group = group
        self._topics = tuple(topics)
        self._log = log
        self._keeper: Keeper | None = None
        self._relay: Relay | None = None
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Begin. Needs neither Postgres nor Kafka yet: it goes on trying until both are there."""
        self._keeper = Keeper(self._group, self._topics, self._setup)
        self._tasks = [asyncio.create_task(self._keeper.work(), name="keeper")]
        if self._log is not None:
            self._relay = Relay(self._group, self._topics, self._setup, log=self._log)
            self._tasks.append(asyncio.create_task(self._relay.work(), name="relay"))
        for task in self._tasks:
            task.add_done_callback(_tell)

    async def stop(self) -> None:
        """Give everything up in order, so that others can take it at once; bounded in time."""
        if self._keeper is None:
            return
        keeping, *relaying = self._tasks
        await _end(keeping)
        try:
            await self._keeper.leave()
        except RetryableError as error:
            # Postgres is away: the lease runs out by itself.
            _logger.warning("goodbye_not_said", group=self._group, error=str(error))
        await self._keeper.crew.cut()
        if self._relay is not None:
            self._relay.stop()
            await asyncio.wait(relaying, timeout=RELAY_STOP_S)
        for task in relaying:
            await _end(task)

    async def abandon(self) -> None:
        """Stop without a word, as a killed process does: everything is left to the lease."""
        for task in self._tasks:
            await _end(task)
        if self._keeper is not None:
            await self._keeper.crew.cut()

    def health(self) -> LanesHealth:
        """Return the state now."""
        if self._keeper is None:
            return LanesHealth(live=True, ready=False, reason="not started")
        for task in self._tasks:
            if task.done():
                return LanesHealth(live=False, ready=False, reason=f"ended: {task.get_name()}")
        if hopeless := self._keeper.crew.hopeless():
            return LanesHealth(live=False, ready=False, reason=f"stuck: {hopeless}")
        reason = self._unready()
        return LanesHealth(live=True, ready=not reason, reason=reason)

    def _unready(self) -> str:
        assert self._keeper is not None  # noqa: S101  narrows the type; health() asked
        state, now = self._keeper.state, asyncio.get_running_loop().time()
        if state.beat_at is None or now - state.beat_at > self._setup.limits.lease_s:
            return f"keeper: {state.trouble or 'no beat'}"
        if not state.partitions:
            return "no partitions are known yet"
        if state.frozen:
            partition, why = min(state.frozen.items())
            return f"frozen: {partition.topic}/{partition.part}: {why}"
        return self._keeper.crew.trouble()

    def _wake_relay(self) -> None:
        if self._relay is not None:
            self._relay.wake()


def _tell(task: "asyncio.Task[None]") -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        _logger.critical("lanes_failed", exc_info=error)


async def _end(task: "asyncio.Task[None]") -> None:
    task.cancel()
    await asyncio.wait({task})
