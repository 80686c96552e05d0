"""Bytewax's output in Postgres: event rows, user rows and transitions, one transaction per batch."""

from collections.abc import Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import NamedTuple

import psycopg
from bytewax.outputs import FixedPartitionedSink, StatefulSinkPartition

from shared.clock import SystemClock
from tests.bench.segmenter.bytewax_known import InFlight
from tests.bench.segmenter.bytewax_tables import (
    ADD_TRANSITIONS,
    ONE_WRITER,
    STAGED_TRANSITIONS,
    STAGED_USERS,
    UPSERT_USERS,
)
from tests.bench.segmenter.bytewax_user import (
    Moved,
    State,
    transition_line,
    user_line,
)
from tests.bench.segmenter.rows import COLUMNS, escaped

PART = "postgres"
Item = tuple[str, Moved]  # with the user's id


class Pending(NamedTuple):
    """What the next transaction writes, as the text of COPY: each user once, as they are by then."""

    rows: int
    events: str
    users: str
    transitions: str


def pending(items: Iterable[Item]) -> Pending:
    now = SystemClock().now().isoformat()
    rows: list[str] = []
    users: dict[str, State] = {}
    transitions: list[str] = []
    for user_id, moved in items:
        rows += moved.rows
        users[user_id] = moved.state
        transitions += (transition_line(escaped(user_id), each, now) for each in moved.transitions)
    return Pending(
        len(rows),
        "".join(rows),
        "".join(user_line(escaped(user_id), state, now) for user_id, state in users.items()),
        "".join(transitions),
    )


class Tables:
    """Writes on a connection of its own, as the only writer."""

    def __init__(self, dsn: str, table: str, *, once: bool) -> None:
        self._connection = psycopg.connect(dsn)
        self._copy_events = f"COPY {table} ({', '.join(COLUMNS)}) FROM STDIN"
        self._history = "staged_transitions" if once else "bytewax_transitions"
        self._finish = (UPSERT_USERS, ADD_TRANSITIONS) if once else (UPSERT_USERS,)
        with self._connection.transaction():
            for statement in (ONE_WRITER, STAGED_USERS, STAGED_TRANSITIONS):
                self._connection.execute(statement)

    def write(self, batch: Pending) -> None:
        with self._connection.transaction(), self._connection.cursor() as cursor:
            for statement, text in (
                (self._copy_events, batch.events),
                ("COPY staged_users FROM STDIN", batch.users),
                (f"COPY {self._history} FROM STDIN", batch.transitions),
            ):
                with cursor.copy(statement) as copy:
                    copy.write(text)
            for statement in self._finish:
                cursor.execute(statement)

    def close(self) -> None:
        self._connection.close()


class PostgresSink(FixedPartitionedSink):  # type: ignore[misc]  # not installed here
    """Has one partition, whose snapshot Bytewax asks for at the end of an epoch: then all is written.

    The connection is opened with the sink, before anything is read, and waits until a process that was
    killed has no transaction left that could still be committed.
    """

    def __init__(self, tables: Tables, in_flight: InFlight) -> None:
        self._tables = tables
        self._in_flight = in_flight

    def list_parts(self) -> list[str]:
        return [PART]

    def part_fn(self, _key: str) -> int:
        return 0

    def build_part(self, _step: str, _part: str, _resumed: None) -> "PostgresWriter":
        return PostgresWriter(self._tables, self._in_flight)


class PostgresWriter(StatefulSinkPartition):  # type: ignore[misc]  # not installed here
    """Writes a batch while the next is read and decoded, and waits for it at the end of an epoch.

    So a snapshot of Bytewax's never claims what is not committed: a crash repeats events, and loses
    none.
    """

    def __init__(self, tables: Tables, in_flight: InFlight) -> None:
        self._tables = tables
        self._in_flight = in_flight
        self._thread = ThreadPoolExecutor(max_workers=1)
        self._writing: Future[None] | None = None
        self._rows = 0

    def write_batch(self, batches: list[list[Item]]) -> None:
        batch = pending(item for items in batches for item in items)
        self._finish()
        self._rows = batch.rows
        self._writing = self._thread.submit(self._tables.write, batch)

    def snapshot(self) -> None:
        self._finish()

    def close(self) -> None:
        self._finish()
        self._thread.shutdown()
        self._tables.close()

    def _finish(self) -> None:
        writing, self._writing = self._writing, None
        if writing is not None:
            writing.result()
            self._in_flight.commit(self._rows)
