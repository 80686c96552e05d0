"""Writes one partition: one queue, one flusher, one batch in flight, every retry in order."""

import asyncio
import functools
from collections.abc import Sequence

from shared.kafka import aiokafka_private as private
from shared.kafka.log import Outcome
from shared.kafka.producer_holder import ProducerHolder
from shared.kafka.write_batch import (
    BATCH_OVERHEAD,
    BatchBuilder,
    Entry,
    PartitionQueue,
    build,
    halves,
)
from shared.kafka.write_limits import LogLimits
from shared.observability.logging import log
from shared.observability.metrics import LOG_BATCH_SECONDS, LOG_BATCHES, Metrics

_logger = log(__name__)


class PartitionWriter:
    """Group commit: while one batch is in flight, whatever arrives forms the next one.

    The batch in flight is sent again until Kafka takes or refuses it, however long that takes and
    whoever still waits: to give it up would not recall it, and the next could overtake it. It is
    also the probe that finds the broker back.
    """

    def __init__(
        self,
        topic: str,
        number: int,
        *,
        queue: PartitionQueue,
        producers: ProducerHolder,
        limits: LogLimits,
        metrics: Metrics,
    ) -> None:
        self.topic = topic
        self.number = number
        self._queue = queue
        self._producers = producers
        self._limits = limits
        self._metrics = metrics
        self._create = functools.partial(
            private.new_batch,
            max(limits.batch_bytes, limits.max_record_bytes) + BATCH_OVERHEAD,
        )
        self._arrived = asyncio.Event()
        self._settled = asyncio.Event()
        self._settled.set()
        self._in_flight_since: float | None = None
        self._flusher = asyncio.create_task(self._flush(), name=f"write-{topic}-{number}")
        self._flusher.add_done_callback(self._note_end)

    def unsettled_s(self, now: float) -> float:
        """Return the age of the batch in flight, 0 when there is none."""
        return 0.0 if self._in_flight_since is None else now - self._in_flight_since

    def stalled(self, since: float) -> bool:
        """Tell whether the batch in flight was begun before `since`."""
        return self._in_flight_since is not None and self._in_flight_since < since

    def admit(self, entry: Entry) -> bool:
        """Queue the record, or return False where this partition has no room."""
        if not self._queue.push(entry):
            return False
        if not self._arrived.is_set():
            self._arrived.set()
            self._settled.clear()
        return True

    async def settled(self) -> None:
        """Wait until nothing is queued and nothing is in flight."""
        await self._settled.wait()

    def drop_answered(self) -> None:
        """Let go of queued records that nobody waits for any longer."""
        self._queue.drop_answered()

    def ended(self) -> bool:
        """Tell whether the flusher has ended by itself: nothing will be written any more."""
        return self._flusher.done() and not self._flusher.cancelled()

    async def stop(self) -> None:
        """End the flusher. What it had in flight may be written or not."""
        self._flusher.cancel()
        await asyncio.wait({self._flusher})

    def _note_end(self, flusher: "asyncio.Task[None]") -> None:
        # Fails closed: the batch stays unsettled, so the partition refuses and health says so.
        if not flusher.cancelled() and (error := flusher.exception()) is not None:
            _logger.error("writer_ended", topic=self.topic, partition=self.number, exc_info=error)

    async def _flush(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await self._arrived.wait()
            batch = self._queue.next_batch()
            if not batch:
                self._arrived.clear()
                self._settled.set()
                continue
            self._in_flight_since = loop.time()
            await self._write(batch)
            self._in_flight_since = None

    async def _write(self, batch: Sequence[Entry]) -> None:
        parts = [batch]
        while parts:
            built = build(parts.pop(), self._create)
            self._queue.settle(built.unfit, Outcome.INVALID)
            if not built.fit:
                continue
            outcome = await self._deliver(built.builder)
            if outcome in (Outcome.TOO_LARGE, Outcome.INVALID) and len(built.fit) > 1:
                first, second = halves(built.fit)
                parts += (second, first)
            else:
                self._queue.settle(built.fit, outcome)

    async def _deliver(self, batch: BatchBuilder) -> Outcome:
        delay = self._limits.first_delay_s
        while True:
            outcome = await self._send(batch)
            if outcome is not Outcome.RETRY:
                return outcome
            await asyncio.sleep(delay)
            delay = min(self._limits.last_delay_s, 2 * delay)

    async def _send(self, batch: BatchBuilder) -> Outcome:
        loop = asyncio.get_running_loop()
        begun = loop.time()
        outcome = await self._producers.send(batch, topic=self.topic, partition=self.number)
        self._metrics.count(LOG_BATCHES, self.topic, outcome)
        self._metrics.observe(LOG_BATCH_SECONDS, loop.time() - begun, self.topic)
        return outcome
