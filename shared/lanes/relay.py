"""Sends the outbox: in order, one batch at a time, forgetting only what the log acknowledged.

A relay that stops between the ack and the delete leaves messages that its successor sends again:
readers drop repeats by id. Two relays may overlap while a partition moves; each sends in order, so
the first occurrences stay in order too.
"""

import asyncio
from collections import Counter
from collections.abc import Sequence
from datetime import timedelta

import msgspec

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
_UNREADABLE = "undecodable"
SEND_DEADLINE_S = 4.0


class _Waiting(msgspec.Struct, frozen=True, gc=False):
    """A message of a row, and its place there."""

    row: OutboxRow
    place: int
    key: bytes
    value: bytes


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
            if unreadable := [row for row in rows if row.unreadable is not None]:
                await self._give_up(connection, unreadable)
                continue
            if rows and await self._send(connection, rows):
                backoff.reset()
            elif rows:
                await asyncio.sleep(backoff.next_s())
            else:
                await self._rest()

    async def _send(self, connection: Connection, rows: Sequence[OutboxRow]) -> bool:
        """Send the rows and forget what is settled; return whether all of it was."""
        messages = _waiting(rows)
        outcomes = await self._log.append_many(_records(messages), deadline_s=SEND_DEADLINE_S)
        settled = _settled(messages, outcomes)
        impossible = [each for each in settled if each[1] in _FOR_GOOD]
        with translated():
            if len(settled) == len(messages) and not impossible:
                # One statement is a transaction by itself; with few messages round trips are all that it costs.
                await outbox.delete(connection, [row.id for row in rows])
            else:
                async with connection.transaction():
                    await dead_letters.insert(connection, [self._refused(*e) for e in impossible])
                    await _forget(connection, rows, [message for message, _ in settled])
        self._count(settled)
        for each in impossible:
            self._warn(*each)
        return len(settled) == len(messages)

    async def _give_up(self, connection: Connection, rows: Sequence[OutboxRow]) -> None:
        """Keep rows that hold no messages as dead letters: the others must not wait for them."""
        reason = "the outbox's row holds no list of messages"
        with translated():
            async with connection.transaction():
                letters = [
                    self._letter(
                        row, "", _UNREADABLE, reason, value=row.unreadable or b"", field="packed"
                    )
                    for row in rows
                ]
                await dead_letters.insert(connection, letters)
                await outbox.delete(connection, [row.id for row in rows])
        for row in rows:
            self._setup.metrics.count(m.DEAD_LETTERS, self._group, _UNREADABLE)
            _logger.critical("outbox_row_unreadable", topic=row.topic, id=row.id)

    async def _rest(self) -> None:
        try:
            await asyncio.wait_for(self._wake.wait(), self._setup.limits.idle_s)
        except TimeoutError:
            return

    def _refused(self, message: _Waiting, why: Outcome) -> tuple[DeadLetter, dead_letters.Place]:
        reason = f"the log refuses the message for good: {why}"
        place = f"/{message.place}"
        return self._letter(message.row, place, why, reason, value=message.value, key=message.key)

    def _letter(  # noqa: PLR0913  what two kinds of letters have apart
        self,
        row: OutboxRow,
        place: str,
        code: str,
        reason: str,
        *,
        value: bytes,
        key: bytes | None = None,
        field: str | None = None,
    ) -> tuple[DeadLetter, dead_letters.Place]:
        letter = DeadLetter(
            dead_letter_id=f"{self._group}/outbox/{row.id}{place}",
            code=code,
            field=field,
            reason=reason,
            origin=self._group,
            refused_at=self._setup.clock.now(),
            value=value,
            key=key,
        )
        # It never got an offset.
        return letter, dead_letters.Place(row.topic, row.part, -1)

    def _measure_age(self, rows: Sequence[OutboxRow]) -> None:
        now = self._setup.clock.now()
        age = max((now - row.created_at for row in rows), default=timedelta())
        self._setup.metrics.set(m.OUTBOX_OLDEST_SECONDS, age.total_seconds(), self._group)

    def _count(self, settled: Sequence[tuple[_Waiting, Outcome]]) -> None:
        counted = Counter((message.row.topic, outcome) for message, outcome in settled)
        for (topic, outcome), number in counted.items():
            if outcome is Outcome.ACCEPTED:
                self._setup.metrics.count(m.OUTBOX_SENT, topic, by=number)
            else:
                self._setup.metrics.count(m.DEAD_LETTERS, self._group, outcome, by=number)

    def _warn(self, message: _Waiting, why: Outcome) -> None:
        row, place = message.row, message.place
        _logger.critical("outbox_message_refused", topic=row.topic, id=row.id, place=place, why=why)


def _waiting(rows: Sequence[OutboxRow]) -> list[_Waiting]:
    """Return what is to be sent, in its order."""
    return [
        _Waiting(row, place, key, value)
        for row in rows
        for place, (key, value) in enumerate(row.messages)
        if not row.settled or place not in row.settled
    ]


def _records(messages: Sequence[_Waiting]) -> list[LogRecord]:
    instants = {each.row.id: int(each.row.created_at.timestamp() * 1000) for each in messages}
    return [
        LogRecord(each.row.topic, each.key, each.value, instants[each.row.id]) for each in messages
    ]


def _settled(
    messages: Sequence[_Waiting], outcomes: Sequence[Outcome]
) -> list[tuple[_Waiting, Outcome]]:
    """Return what need not be sent again, and why: refused for good, or accepted in its order.

    It is not where something of the same key before it was not.
    """
    held_up: set[tuple[str, bytes]] = set()
    settled = []
    for message, outcome in zip(messages, outcomes, strict=True):
        if outcome in _FOR_GOOD:
            settled.append((message, outcome))
        elif outcome is not Outcome.ACCEPTED:
            held_up.add((message.row.topic, message.key))
        elif not held_up or (message.row.topic, message.key) not in held_up:
            settled.append((message, outcome))
    return settled


async def _forget(
    connection: Connection, rows: Sequence[OutboxRow], settled: Sequence[_Waiting]
) -> None:
    """Delete the rows that are sent; of the others remember what need not be sent again."""
    places: dict[int, list[int]] = {row.id: [] for row in rows}
    for message in settled:
        places[message.row.id].append(message.place)
    gone = []
    for row in rows:
        if len(row.settled) + len(places[row.id]) == len(row.messages):
            gone.append(row.id)
        elif places[row.id]:
            await outbox.settle(connection, row.id, places[row.id])
    await outbox.delete(connection, gone)
