"""Bytewax's output in Postgres: event rows, user rows and transitions, one transaction per batch."""

import psycopg
from bytewax.outputs import DynamicSink, StatelessSinkPartition

from shared.clock import SystemClock
from tests.bench.segmenter.bytewax_user import (
    Moved,
    State,
    Transition,
    transition_line,
    user_line,
)
from tests.bench.segmenter.rows import COLUMNS, escaped

# Users and transitions with the columns and the indexes that the segmenter's tables had when this
# was written; the event log's table is the raw limit's.
TABLES = """
    CREATE TABLE bytewax_users (
        user_id text COLLATE "C" PRIMARY KEY, part integer NOT NULL, first_seen timestamptz NOT NULL,
        last_seen timestamptz NOT NULL, span_start timestamptz NOT NULL,
        earlier_spans timestamptz[] NOT NULL, lifecycle text NOT NULL,
        lifecycle_since timestamptz NOT NULL, deadline timestamptz, deadline_to text,
        event_count bigint NOT NULL, known_at timestamptz NOT NULL, policy_version integer NOT NULL,
        revision integer NOT NULL, updated_at timestamptz NOT NULL);
    CREATE INDEX ON bytewax_users (part, deadline) WHERE deadline IS NOT NULL;
    CREATE INDEX ON bytewax_users (lifecycle, user_id);
    CREATE TABLE bytewax_transitions (
        transition_id uuid, at timestamptz, user_id text COLLATE "C" NOT NULL, kind text NOT NULL,
        before text, after text NOT NULL, recorded_at timestamptz NOT NULL, reason text NOT NULL,
        policy_version integer NOT NULL, historical boolean NOT NULL, evidence jsonb NOT NULL,
        PRIMARY KEY (transition_id, at));
    CREATE INDEX ON bytewax_transitions (user_id, at);
    CREATE INDEX ON bytewax_transitions (at, transition_id);
"""
_STAGING = """
    CREATE TEMPORARY TABLE staged (LIKE bytewax_users) ON COMMIT DELETE ROWS
"""
_UPSERT = """
    INSERT INTO bytewax_users SELECT * FROM staged
    ON CONFLICT (user_id) DO UPDATE SET
        part = excluded.part, last_seen = excluded.last_seen, span_start = excluded.span_start,
        lifecycle = excluded.lifecycle, lifecycle_since = excluded.lifecycle_since,
        deadline = excluded.deadline, deadline_to = excluded.deadline_to,
        event_count = excluded.event_count, known_at = excluded.known_at,
        updated_at = excluded.updated_at
"""


class Pending:
    """What the next transaction writes: each user once, as they are by then."""

    def __init__(self) -> None:
        self.rows: list[str] = []
        self.users: dict[str, State] = {}
        self.transitions: list[tuple[str, Transition]] = []

    def add(self, user_id: str, moved: Moved) -> None:
        self.rows += moved.rows
        self.users[user_id] = moved.state
        self.transitions += ((user_id, each) for each in moved.transitions)


class PostgresSink(DynamicSink):  # type: ignore[misc]  # not installed here
    """One connection for each worker."""

    def __init__(self, dsn: str, table: str) -> None:
        self._dsn = dsn
        self._table = table

    def build(self, _step: str, _index: int, _count: int) -> "PostgresWriter":
        return PostgresWriter(self._dsn, self._table)


class PostgresWriter(StatelessSinkPartition):  # type: ignore[misc]  # not installed here
    """Writes what it is given before it returns.

    So that a snapshot of Bytewax's never claims what is not written: a crash repeats events, and loses
    none. A thread that writes meanwhile would be faster, and would lose some.
    """

    def __init__(self, dsn: str, table: str) -> None:
        self._copy_events = f"COPY {table} ({', '.join(COLUMNS)}) FROM STDIN"
        self._connection = psycopg.connect(dsn)
        self._connection.execute(_STAGING)
        self._connection.commit()
        self._clock = SystemClock()

    def write_batch(self, items: list[tuple[str, Moved]]) -> None:
        pending = Pending()
        for user_id, moved in items:
            pending.add(user_id, moved)
        self._write(pending)

    def close(self) -> None:
        self._connection.close()

    def _write(self, pending: Pending) -> None:
        now = self._clock.now().isoformat()
        users = "".join(
            user_line(escaped(user_id), state, now) for user_id, state in pending.users.items()
        )
        transitions = "".join(
            transition_line(escaped(user_id), each, now) for user_id, each in pending.transitions
        )
        with self._connection.transaction(), self._connection.cursor() as cursor:
            for statement, text in (
                (self._copy_events, "".join(pending.rows)),
                ("COPY staged FROM STDIN", users),
                ("COPY bytewax_transitions FROM STDIN", transitions),
            ):
                with cursor.copy(statement) as copy:
                    copy.write(text)
            cursor.execute(_UPSERT)
