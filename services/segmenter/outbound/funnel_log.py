"""The event log as back-fills of funnels read it, on the connection and in the transaction of the job."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import msgspec

from services.segmenter.domain.funnel import Funnel, Funnels
from services.segmenter.outbound import fences
from services.segmenter.usecases.backfill_funnel import LogDay
from shared.contracts.events import EventEnvelope
from shared.database.connection import Connection, translated
from shared.vocabulary import EventType

_DAYS = """
SELECT lower, upper, pg_relation_size(child) / current_setting('block_size')::int AS pages
FROM partitions_of('events') ORDER BY lower DESC
"""

# A range of pages costs the same however few of the events are steps. Rows of the log never move.
_STEPS = """
SELECT source, event_id, user_id, type, name, "timestamp", received_at,
       CASE WHEN $6 THEN payload END AS payload
FROM events
WHERE received_at >= $1 AND received_at < $2
  AND ctid >= format('(%s,0)', $3::bigint)::tid AND ctid < format('(%s,0)', $4::bigint)::tid
  AND name = ANY ($5::text[])
"""

_MERGED = """
SELECT user_id, merged_into FROM users WHERE user_id = ANY ($1::text[]) AND merged_into > ''
"""

_LOCK_USERS = """
SELECT user_id, merged_into FROM users WHERE user_id = ANY ($1::text[]) ORDER BY user_id FOR UPDATE
"""

_USERS = """
SELECT user_id FROM funnel_users WHERE funnel_id = $1 AND user_id > $2 ORDER BY user_id LIMIT $3
"""

_IDS = """
SELECT user_id FROM users WHERE merged_into = $1 AND merged_into > ''
UNION ALL
SELECT user_id FROM users WHERE user_id = $1 AND coalesce(merged_into, '') = ''
"""

_STEPS_OF = """
SELECT source, event_id, user_id, type, name, "timestamp", received_at, payload
FROM events WHERE user_id = ANY ($1::text[]) AND name = ANY ($2::text[]) LIMIT $3
"""

_BEGIN = """
UPDATE funnels SET held_since = (SELECT held_since FROM log_horizon) WHERE funnel_id = $1
"""

_NOTE = "UPDATE funnels SET pages_done = $2, pages = $3 WHERE funnel_id = $1"

_FINISH = "UPDATE funnels SET state = 'live' WHERE funnel_id = $1 AND state = 'backfilling'"


class PostgresFunnelLog:
    """Keeps the ports `FunnelLog` and `StepLog`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def fence(self) -> int:
        return await fences.take(self._connection)

    async def ended(self, fence: int) -> bool:
        return await fences.has_ended(self._connection, fence)

    async def days(self) -> Sequence[LogDay]:
        with translated():
            rows = await self._connection.fetch(_DAYS)
        return [LogDay(row["lower"], row["upper"], row["pages"]) for row in rows]

    async def steps(
        self, day: LogDay, *, first_page: int, pages: int, funnel: Funnel
    ) -> Sequence[EventEnvelope]:
        with translated():
            rows = await self._connection.fetch(
                _STEPS,
                day.lower,
                day.upper,
                first_page,
                first_page + pages,
                sorted(funnel.names),
                any(step.conditions for step in funnel.steps),
            )
        return [event_of(row) for row in rows]

    async def merged(self, user_ids: Collection[str]) -> Mapping[str, str]:
        with translated():
            rows = await self._connection.fetch(_MERGED, list(user_ids))
        return {row["user_id"]: row["merged_into"] for row in rows}

    async def users(self, funnel_id: int, *, behind: str, limit: int) -> Sequence[str]:
        with translated():
            rows = await self._connection.fetch(_USERS, funnel_id, behind, limit)
        return [row["user_id"] for row in rows]

    async def lock_merged(self, user_ids: Collection[str]) -> Mapping[str, str]:
        merged = await self.merged(user_ids)
        while merged:
            locked = {*merged, *merged.values()}
            with translated():
                rows = await self._connection.fetch(_LOCK_USERS, sorted(locked))
            merged = {row["user_id"]: row["merged_into"] for row in rows if row["merged_into"]}
            if locked.issuperset(merged.values()):  # else a user was merged on before the lock
                break
        return {each: root for each, root in merged.items() if each in user_ids}

    async def ids_of(self, user_id: str) -> Sequence[str]:
        with translated():
            rows = await self._connection.fetch(_IDS, user_id)
        return [row["user_id"] for row in rows]

    async def steps_of(
        self, user_ids: Collection[str], *, funnels: Funnels, most: int | None = None
    ) -> Sequence[EventEnvelope]:
        with translated():
            rows = await self._connection.fetch(_STEPS_OF, list(user_ids), funnels.names, most)
        return [event_of(row) for row in rows]

    async def begin(self, funnel_id: int) -> None:
        with translated():
            await self._connection.execute(_BEGIN, funnel_id)

    async def note(self, funnel_id: int, *, done: int, total: int) -> None:
        with translated():
            await self._connection.execute(_NOTE, funnel_id, done, total)

    async def finish(self, funnel_id: int) -> None:
        with translated():
            await self._connection.execute(_FINISH, funnel_id)


def event_of(row: Mapping[str, Any]) -> EventEnvelope:
    """Return the event of a row of the log, as far as funnels ask for it."""
    return EventEnvelope(
        source=row["source"],
        event_id=row["event_id"],
        user_id=row["user_id"],
        type=EventType(row["type"]),
        name=row["name"],
        timestamp=row["timestamp"],
        received_at=row["received_at"],
        payload=msgspec.Raw((row["payload"] or "{}").encode()),
    )
