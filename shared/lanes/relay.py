"""Sends the outbox: in order, one batch at a time, forgetting only what the log acknowledged.

A relay that stops between the ack and the delete leaves messages that its successor sends again:
readers drop repeats by id. Two relays may overlap while a partition moves; each sends in order, so
the first occurrences stay in order too.
"""

import asyncio
from collections import Counter
from collections.abc import Sequence
from datetime import timedelta

from shared.contracts.dead_letters import DeadLetter
from shared.database import dead_letters, outbox, session
from shared.database.connection import Connection, translated
from shared.database.outbox import OutboxRow
from shared.errors import RetryableError
from shared.kafka.log import Log, LogRecord, Outcome
from shared.lanes.limits import Backoff
from shared.lanes.setup import LaneSetup
from shared.observability import metrics as m
from shared.observability.logging import log

_logger = log(__name__)

_FOR_GOOD = (Outcome.TOO_LARGE, Outcome.INVALID)
SEND_DEADLINE_S = 4.0


class Relay:
    """Serves the worker's partitions and its share of the frozen ones, on a connection of its own."""

    def __init__(self, group: str, topics: Sequence[str], setup: LaneSetup, *, log: Log) -> None:
        self._group = group
        self._topics = topics
        self._setup = setup
        self._log = log
        self._wake = asyncio.Event()
        self._stopping = False

    def wake(self) -> None:
        """Look at once: a commit left messages."""
        self._wake.set()

    def stop(self) -> None:
        """Finish the batch in hand, and end."""
        self._stopping = True
        self._wake.set()

    async def work(self) -> None:
        """Send until stopped. Errors start it anew; whatever was not acknowledged is sent again."""
        backoff = Backoff(self._setup.limits)
        while not self._stopping:
            try:
                connection = await session.connect(self._setup.dsn, worker=self._setup.worker)
                try:
                    await self._serve(connection, backoff)
                finally:
                    await session.close(connection)
            except RetryableError as error:
                _logger.warning("relay_restarts", group=self._group, error=str(error))
                await asyncio.sleep(backoff.next_s())

    async def _serve(self, connection: Connection, backoff: Backoff) -> None:
        while not self._stopping:
            self._wake.clear()
            with translated():
                rows = await outbox.waiting(
                    connection,
                    self._group,
                    worker=self._setup.worker,
                    topics=self._topics,
                    limit=self._setup.limits.relay_batch,
                )
            self._measure_age(rows)
            if rows and await self._send(connection, rows):
                backoff.reset()
            elif rows:
                await asyncio.sleep(backoff.next_s())
            else:
                await self._rest()

    async def _send(self, connection: Connection, rows: Sequence[OutboxRow]) -> bool:
        """Send the rows and delete what is settled; return whether all of them were."""
        outcomes = await self._log.append_many(
            [_record(row) for row in rows], deadline_s=SEND_DEADLINE_S
        )
        settled = _settled(rows, outcomes)
        impossible = [
            (row, outcome)
            for row, outcome in zip(rows, outcomes, strict=True)
            if outcome in _FOR_GOOD
        ]
        with translated():
            async with connection.transaction():
                if impossible:
                    await dead_letters.insert(connection, [self._letter(*e) for e in impossible])
                await outbox.delete(connection, [row.id for row in settled])
        self._count(settled, impossible)
        return len(settled) == len(rows)

    async def _rest(self) -> None:
        try:
            await asyncio.wait_for(self._wake.wait(), self._setup.limits.idle_s)
        except TimeoutError:
            return

    def _letter(self, row: OutboxRow, outcome: Outcome) -> tuple[DeadLetter, dead_letters.Place]:
        letter = DeadLetter(
            dead_letter_id=f"{self._group}/outbox/{row.id}",
            code=outcome,
            field=None,
            reason=f"the log refuses the message for good: {outcome}",
            origin=self._group,
            refused_at=self._setup.clock.now(),
            value=row.value,
            key=row.key,
        )
        # It never got an offset.
        return letter, dead_letters.Place(row.topic, row.part, -1)

    def _measure_age(self, rows: Sequence[OutboxRow]) -> None:
        now = self._setup.clock.now()
        age = max((now - row.created_at for row in rows), default=timedelta())
        self._setup.metrics.set(m.OUTBOX_OLDEST_SECONDS, age.total_seconds(), self._group)

    def _count(
        self, settled: Sequence[OutboxRow], impossible: Sequence[tuple[OutboxRow, Outcome]]
    ) -> None:
        refused = {row.id for row, _ in impossible}
        sent = Counter(row.topic for row in settled if row.id not in refused)
        for topic, number in sent.items():
            self._setup.metrics.count(m.OUTBOX_SENT, topic, by=number)
        for row, outcome in impossible:
            self._setup.metrics.count(m.DEAD_LETTERS, self._group, outcome)
            _logger.critical("outbox_message_refused", topic=row.topic, id=row.id, why=outcome)


def _record(row: OutboxRow) -> LogRecord:
    return LogRecord(row.topic, row.key, row.value, int(row.created_at.timestamp() * 1000))


def _settled(rows: Sequence[OutboxRow], outcomes: Sequence[Outcome]) -> list[OutboxRow]:
    """Return what need not be sent again: settled, with nothing unsettled before it under its key."""
    held_up: set[tuple[str, bytes]] = set()
    settled = []
    for row, outcome in zip(rows, outcomes, strict=True):
        if outcome not in (Outcome.ACCEPTED, *_FOR_GOOD) or (row.topic, row.key) in held_up:
            held_up.add((row.topic, row.key))
        else:
            settled.append(row)
    return settled
