"""From requests to batches: whom to answer, what goes into the next batch, and what does not. Pure."""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol

from shared.errors import PermanentError
from shared.kafka.log import LogRecord, Outcome
from shared.kafka.write_budget import Account
from shared.kafka.write_limits import LogLimits

# The most that Kafka's record format adds: a batch's header; a record's attributes and the longest
# spelling of its six variable-length numbers; a header's two lengths.
BATCH_OVERHEAD = 61
RECORD_OVERHEAD = 36
HEADER_OVERHEAD = 10
UTF8_LONGEST = 4


class Request:
    """The answers to one call: an outcome per record, and a future that is done with the last one."""

    __slots__ = ("_open", "_outcomes", "done")

    def __init__(self, size: int, done: "asyncio.Future[None]") -> None:
        self._outcomes: list[Outcome | None] = [None] * size
        self.done = done
        self._open = size

    def answers(self) -> list[Outcome]:
        """Return the outcomes, once `done` is."""
        return [Outcome.RETRY if outcome is None else outcome for outcome in self._outcomes]

    @property
    def answered(self) -> bool:
        return not self._open

    def answer(self, index: int, outcome: Outcome) -> None:
        """Settle one record; the first answer stands."""
        if self._outcomes[index] is not None:
            return
        self._outcomes[index] = outcome
        self._open -= 1
        if not self._open and not self.done.done():
            self.done.set_result(None)

    def give_up(self) -> None:
        """Answer `retry` for whatever is not settled: it may be written later, or never."""
        for index, outcome in enumerate(self._outcomes):
            if outcome is None:
                self.answer(index, Outcome.RETRY)


class Entry(NamedTuple):
    """A record on its way, and whom to tell."""

    record: LogRecord
    size: int
    request: Request
    position: int


class BatchBuilder(Protocol):
    """What a batch is built with; aiokafka's keeps it."""

    def append(
        self,
        *,
        timestamp: int,
        key: bytes | None,
        value: bytes,
        headers: Sequence[tuple[str, bytes]],
    ) -> Any: ...

    def record_count(self) -> int: ...


class BatchOverflow(PermanentError):
    """The builder took fewer records than it was given: the size estimate is wrong."""


class Built(NamedTuple):
    """A batch ready to be sent, and the entries that can't be encoded at all."""

    builder: BatchBuilder
    fit: list[Entry]
    unfit: list[Entry]


def record_bytes(record: LogRecord) -> int:
    """Return the most that the record can take on the wire."""
    size = RECORD_OVERHEAD + len(record.value)
    if record.key is not None:
        size += len(record.key)
    for name, value in record.headers:
        size += HEADER_OVERHEAD + UTF8_LONGEST * len(name) + len(value)
    return size


class PartitionQueue:
    """Entries of one partition that wait for their turn, in order."""

    def __init__(self, account: Account, limits: LogLimits) -> None:
        self._account = account
        self._limits = limits
        self._waiting: deque[Entry] = deque()

    def __len__(self) -> int:
        return len(self._waiting)

    def push(self, entry: Entry) -> bool:
        """Queue the entry, or return False where the budget is spent."""
        if not self._account.take(entry.size):
            return False
        self._waiting.append(entry)
        return True

    def drop_answered(self) -> None:
        """Let go of what no caller waits for any longer, from the oldest on."""
        waiting = self._waiting
        while waiting and waiting[0].request.answered:
            self._account.give(waiting.popleft().size)

    def next_batch(self) -> list[Entry]:
        """Take the next batch: whole records up to the limits, at least one if any waits."""
        batch: list[Entry] = []
        room = self._limits.batch_bytes - BATCH_OVERHEAD
        self.drop_answered()
        while self._waiting and len(batch) < self._limits.batch_records:
            size = self._waiting[0].size
            if batch and size > room:
                break
            batch.append(self._waiting.popleft())
            room -= size
            self.drop_answered()
        return batch

    def settle(self, entries: Sequence[Entry], outcome: Outcome) -> None:
        """Answer for entries that left the queue, and release their bytes."""
        for entry in entries:
            entry.request.answer(entry.position, outcome)
            self._account.give(entry.size)


def build(entries: Sequence[Entry], create: Callable[[], BatchBuilder]) -> Built:
    """Encode the entries. One that can't be encoded spoils its builder: the others start over."""
    fit, unfit = list(entries), []
    while True:
        builder = create()
        culprit = _append_all(builder, fit)
        if culprit is None:
            break
        unfit.append(fit.pop(culprit))
    if builder.record_count() != len(fit):
        raise BatchOverflow(f"{builder.record_count()} of {len(fit)} records went in")
    return Built(builder, fit, unfit)


def _append_all(builder: BatchBuilder, entries: Sequence[Entry]) -> int | None:
    for position, entry in enumerate(entries):
        record = entry.record
        try:
            builder.append(
                timestamp=record.timestamp_ms,
                key=record.key,
                value=record.value,
                headers=record.headers,
            )
        except (TypeError, ValueError, OverflowError, AttributeError):
            return position
    return None


def halves(entries: Sequence[Entry]) -> tuple[Sequence[Entry], Sequence[Entry]]:
    """Cut a refused batch in two, in order, to find the one record that is at fault."""
    middle = len(entries) // 2
    return entries[:middle], entries[middle:]
