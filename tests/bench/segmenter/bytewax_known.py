"""Which records were met before: what makes Bytewax's dataflow count every event once.

A record's place, its partition and offset, decides. An id is looked up in the log and among those in
flight, which were decoded and are not committed yet:

- nowhere: a new event, whose row is written and whose user moves on;
- at this very place: a crash threw away what the snapshot did not hold, and Kafka is read again from
  there. The row stands, for it was committed, but the restored state knows nothing of it: the user
  moves on again, the row is not written again;
- at another place: a repeat, which changes nothing, before a crash or after it: the log says which
  place counts, in whatever order the partitions come this time.
"""

from collections import deque
from collections.abc import Sequence

import psycopg

Key = tuple[str, str]  # source and id
Place = tuple[int | None, int | None]

_SEPARATOR = "\x1f"
# The ids come in order and out of a subquery: the segmenter asks in the same way.
_KNOWN = """
    SELECT event_id, part, kafka_offset FROM {table}
    WHERE source = %s AND event_id = ANY ((SELECT {ids})::text[])
"""


class Log:
    """Knows the committed events, by a connection of its own."""

    def __init__(self, dsn: str, table: str) -> None:
        self._connection = psycopg.connect(dsn, autocommit=True)
        self._by_text = _KNOWN.format(table=table, ids="string_to_array(%s, E'\\x1f')")
        self._by_array = _KNOWN.format(table=table, ids="%s::text[]")

    def places(self, keys: Sequence[Key]) -> dict[Key, Place]:
        by_source: dict[str, list[str]] = {}
        for source, event_id in keys:
            by_source.setdefault(source, []).append(event_id)
        return {
            (source, event_id): (part, offset)
            for source, ids in by_source.items()
            for event_id, part, offset in self._known(source, sorted(ids))
        }

    def close(self) -> None:
        self._connection.close()

    def _known(self, source: str, ids: list[str]) -> list[tuple[str, int, int]]:
        text = _SEPARATOR.join(ids)
        apart = text.count(_SEPARATOR) == len(ids) - 1
        statement, given = (self._by_text, text) if apart else (self._by_array, ids)
        rows: list[tuple[str, int, int]] = self._connection.execute(
            statement, (source, given)
        ).fetchall()
        return rows


class InFlight:
    """Knows the events that were decoded and are not committed yet.

    Bytewax hands batches on in their order, whole ones or several together; so the rows written tell
    which of the batches are committed.
    """

    def __init__(self) -> None:
        self.places: dict[Key, Place] = {}
        self._batches: deque[Sequence[Key]] = deque()
        self._committed = 0

    def add(self, keys: Sequence[Key]) -> None:
        """Remember a batch whose places have been added."""
        self._batches.append(keys)

    def commit(self, rows: int) -> None:
        """Forget what the log knows by now."""
        self._committed += rows
        while self._batches and len(self._batches[0]) <= self._committed:
            keys = self._batches.popleft()
            self._committed -= len(keys)
            for key in keys:
                del self.places[key]
