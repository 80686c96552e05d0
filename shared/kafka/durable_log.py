"""The write path into Kafka: acknowledged by all in-sync replicas, in order, in bounded memory."""

import asyncio
from collections import Counter
from collections.abc import Sequence

from shared.kafka.log import LogHealth, LogRecord, Outcome
from shared.kafka.partition_writer import PartitionWriter
from shared.kafka.partitioner import partition_of
from shared.kafka.producer_holder import ProducerHolder
from shared.kafka.topic_writers import TopicWriters
from shared.kafka.write_batch import Entry, Request, record_bytes
from shared.kafka.write_budget import Budget
from shared.kafka.write_limits import LogLimits
from shared.observability.logging import log
from shared.observability.metrics import (
    LOG_IN_FLIGHT_BYTES,
    LOG_OLDEST_UNSETTLED_SECONDS,
    LOG_RECORDS,
    Metrics,
)

_logger = log(__name__)

_WATCH_EVERY_S = 1.0


class DurableLog:
    """Keeps the port `Log` on a real Kafka, for any number of concurrent callers on one loop.

    Not idempotent in Kafka's sense: aiokafka's idempotent mode only adds failures (an oversize
    record poisons its partition for ever), and readers drop repeats by event id in any case.
    """

    def __init__(
        self,
        *,
        bootstrap: str,
        metrics: Metrics,
        client_id: str,
        limits: LogLimits | None = None,
        topics: Sequence[str] = (),
    ) -> None:
        """`topics` are looked up from the start, so that health tells of one that is missing."""
        self._limits = limits or LogLimits()
        self._metrics = metrics
        self._budget = Budget(total=self._limits.budget_bytes, share=self._limits.partition_share)
        self._producers = ProducerHolder(
            bootstrap=bootstrap,
            client_id=client_id,
            metrics=metrics,
            limits=self._limits,
            topics=topics,
        )
        self._writers = TopicWriters(
            producers=self._producers,
            budget=self._budget,
            limits=self._limits,
            metrics=metrics,
            wanted=topics,
        )
        self._open: set[Request] = set()
        self._keyless = 0
        self._closing = False
        self._watcher: asyncio.Task[None] | None = None

    async def start(self) -> None:
        self._producers.start()
        self._watcher = asyncio.create_task(self._watch(), name="log-watch")

    async def append_many(
        self, records: Sequence[LogRecord], *, deadline_s: float = 8.0
    ) -> list[Outcome]:
        if not records:
            return []
        if not self._closing:
            within_s = min(deadline_s / 2, self._limits.topic_wait_s)
            await self._writers.learn({record.topic for record in records}, within_s=within_s)
        loop = asyncio.get_running_loop()
        request = Request(len(records), loop.create_future())
        self._open.add(request)
        # Not cancelled with the caller: what is queued then still leaves the queue in time.
        deadline = loop.call_later(deadline_s, self._give_up, request)
        self._enqueue(records, request)
        await request.done
        deadline.cancel()
        self._open.discard(request)
        return self._told(records, request)

    async def close(self, *, drain_s: float = 15.0) -> None:
        self._closing = True
        await self._drain(drain_s)
        _logger.info("log_closing", unsettled_bytes=self._budget.used)
        for request in tuple(self._open):
            self._give_up(request)
        await asyncio.gather(*(writer.stop() for writer in self._writers))
        await self._producers.close()
        if self._watcher is not None:
            self._watcher.cancel()
            await asyncio.wait({self._watcher})

    async def stop(self) -> None:
        """Close with the usual patience, as a part of a process."""
        await self.close()

    async def _drain(self, within_s: float) -> None:
        waits = [asyncio.create_task(writer.settled()) for writer in self._writers]
        if waits:
            _, unsettled = await asyncio.wait(waits, timeout=within_s)
            for wait in unsettled:
                wait.cancel()

    def health(self) -> LogHealth:
        oldest = self._oldest()
        age = 0.0 if oldest is None else oldest.unsettled_s(asyncio.get_running_loop().time())
        reason = self._reason(oldest, age)
        return LogHealth(
            ready=not reason,
            reason=reason,
            oldest_unsettled_s=age,
            in_flight_bytes=self._budget.used,
        )

    def ended(self) -> str:
        """Name what has ended by itself, which only a restart brings back; empty: nothing."""
        watcher = self._watcher
        if watcher is not None and watcher.done() and not watcher.cancelled():
            return "ended: watch"
        if self._producers.ended:
            return "ended: producer"
        writer = self._writers.ended()
        return f"ended: {writer}" if writer else ""

    def _reason(self, oldest: PartitionWriter | None, age: float) -> str:
        if self._closing:
            return "closing"
        if not self._producers.available:
            return f"no connection to Kafka: {self._producers.trouble}"
        if oldest is not None and age > self._limits.stall_s:
            where = f"{oldest.topic} partition {oldest.number}"
            return f"{where} has not been acknowledged for {age:.1f} s: {self._producers.trouble}"
        unknown = self._writers.unknown()
        return f"the broker does not know topic {', '.join(unknown)}" if unknown else ""

    def _oldest(self) -> PartitionWriter | None:
        now = asyncio.get_running_loop().time()
        return max(self._writers, key=lambda writer: writer.unsettled_s(now), default=None)

    def _enqueue(self, records: Sequence[LogRecord], request: Request) -> None:
        """Queue what is admitted, and answer for the rest at once."""
        stalled_since = asyncio.get_running_loop().time() - self._limits.stall_s
        writers = {topic: self._writers_of(topic) for topic in {r.topic for r in records}}
        refusing: set[PartitionWriter] = set()
        self._keyless += 1
        for index, record in enumerate(records):
            size = record_bytes(record)
            if size > self._limits.max_record_bytes:
                request.answer(index, Outcome.TOO_LARGE)
                continue
            writer = self._writer_for(record.key, writers[record.topic])
            if writer is None or writer in refusing or writer.stalled(stalled_since):
                request.answer(index, Outcome.BUSY)
            elif not writer.admit(Entry(record, size, request, index)):
                # Nor may a smaller one that comes later: it would overtake this one.
                refusing.add(writer)
                request.answer(index, Outcome.BUSY)

    def _writers_of(self, topic: str) -> list[PartitionWriter]:
        return [] if self._closing else self._writers.of(topic)

    def _writer_for(
        self, key: bytes | None, writers: list[PartitionWriter]
    ) -> PartitionWriter | None:
        if not writers:
            return None
        if key is None:  # the records of one call stay together
            return writers[self._keyless % len(writers)]
        return writers[partition_of(key, len(writers))]

    def _give_up(self, request: Request) -> None:
        self._open.discard(request)
        request.give_up()
        for writer in self._writers:
            writer.drop_answered()

    def _told(self, records: Sequence[LogRecord], request: Request) -> list[Outcome]:
        outcomes = request.answers()
        told = Counter(zip((record.topic for record in records), outcomes, strict=True))
        for (topic, outcome), count in told.items():
            self._metrics.count(LOG_RECORDS, topic, outcome, by=count)
        return outcomes

    async def _watch(self) -> None:
        while True:
            health = self.health()
            self._metrics.set(LOG_IN_FLIGHT_BYTES, health.in_flight_bytes)
            self._metrics.set(LOG_OLDEST_UNSETTLED_SECONDS, health.oldest_unsettled_s)
            # The client looks for a topic made after it started only every half minute.
            await self._writers.learn(self._writers.unknown(), within_s=self._limits.topic_wait_s)
            await asyncio.sleep(_WATCH_EVERY_S)
