"""A log in memory that keeps the port `Log`, and can be told to refuse, to stall and to be slow."""

import asyncio
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

from shared.kafka.log import LogHealth, LogRecord, Outcome
from shared.kafka.partitioner import partition_of


@dataclass(slots=True)
class _Waiting:
    """An append that the broker has not answered."""

    records: Sequence[LogRecord]
    since: float
    told: "asyncio.Future[list[Outcome]]"


@dataclass(slots=True)
class FakeLog:
    """Keep records in lists: `log.partition(topic, 0)` is what a reader would get.

    `refusing` answers BUSY and writes nothing. `stall` leaves appends unanswered, as a frozen
    broker does: they are answered RETRY at their deadline, and written all the same when `resume`
    comes. `delay_s` makes every append slower. `unfit` are values that the broker finds invalid.
    """

    partitions: int = 3
    topics: frozenset[str] | None = None  # None: every topic exists
    max_record_bytes: int = 2 * 1024 * 1024
    refusing: bool = False
    delay_s: float = 0.0
    stall_s: float = 4.0
    unfit: frozenset[bytes] = frozenset()
    written: dict[tuple[str, int], list[LogRecord]] = field(
        default_factory=lambda: defaultdict(list)
    )
    _stalled: bool = False
    _waiting: list[_Waiting] = field(default_factory=list)
    _started: bool = False
    _closed: bool = False

    async def start(self) -> None:
        self._started = True

    async def append_many(
        self, records: Sequence[LogRecord], *, deadline_s: float = 8.0
    ) -> list[Outcome]:
        if not records:
            return []
        if self.refusing or self._closed or not self._started or self._stalled_for_long():
            return [Outcome.BUSY] * len(records)
        loop = asyncio.get_running_loop()
        waiting = _Waiting(records, loop.time(), loop.create_future())
        self._waiting.append(waiting)
        if not self._stalled:
            loop.call_later(self.delay_s, self._write_first)
        await asyncio.wait({waiting.told}, timeout=deadline_s)
        return waiting.told.result() if waiting.told.done() else [Outcome.RETRY] * len(records)

    async def close(self, *, drain_s: float = 15.0) -> None:
        self._closed = True
        waits = {waiting.told for waiting in self._waiting}
        if waits and not self._stalled:
            await asyncio.wait(waits, timeout=drain_s)
        self._waiting.clear()

    def health(self) -> LogHealth:
        age = self._oldest_s()
        size = sum(len(record.value) for each in self._waiting for record in each.records)
        return LogHealth(not self._reason(age), self._reason(age), age, size)

    def stall(self) -> None:
        """Answer nothing from now on."""
        self._stalled = True

    def resume(self) -> None:
        """Write what waits, in order, and answer again."""
        self._stalled = False
        while self._waiting:
            self._write_first()

    def exists(self, topic: str) -> bool:
        return self.topics is None or topic in self.topics

    def partition(self, topic: str, number: int) -> list[LogRecord]:
        """Return what a reader of the partition would get."""
        return list(self.written[topic, number])

    def records(self, topic: str) -> list[LogRecord]:
        """Return all records of a topic, one partition after the other."""
        return [
            record for number in range(self.partitions) for record in self.partition(topic, number)
        ]

    def _write_first(self) -> None:
        if self._stalled or not self._waiting:
            return
        waiting = self._waiting.pop(0)
        outcomes = [self._write(record) for record in waiting.records]
        if not waiting.told.done():
            waiting.told.set_result(outcomes)

    def _write(self, record: LogRecord) -> Outcome:
        if not self.exists(record.topic):
            return Outcome.BUSY
        if len(record.value) > self.max_record_bytes:
            return Outcome.TOO_LARGE
        if record.value in self.unfit:
            return Outcome.INVALID
        number = 0 if record.key is None else partition_of(record.key, self.partitions)
        self.written[record.topic, number].append(record)
        return Outcome.ACCEPTED

    def _oldest_s(self) -> float:
        if not self._waiting:
            return 0.0
        return asyncio.get_running_loop().time() - self._waiting[0].since

    def _stalled_for_long(self) -> bool:
        return self._stalled and self._oldest_s() > self.stall_s

    def _reason(self, age: float) -> str:
        if self._closed:
            return "closing"
        if not self._started or self.refusing:
            return "no connection to Kafka"
        return f"unacknowledged for {age:.1f} s" if age > self.stall_s else ""
