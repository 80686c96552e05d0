"""One user's row and events, on the connection and in the transaction that mends the user."""

from collections.abc import Collection, Mapping
from datetime import datetime

from services.segmenter.usecases.mend_user import Logged
from shared.database.connection import Connection, translated
from shared.vocabulary import Lifecycle

_LOCK = "SELECT xmin::text FROM users WHERE user_id = $1 FOR UPDATE"

_VACATE = """
UPDATE users SET merged_into = '', revision = revision + 1, deadline = NULL, deadline_to = NULL,
                 check_at = NULL, updated_at = $2
WHERE user_id = $1
"""

# What such a row says besides its id and its user is never read.
_BURY = f"""
INSERT INTO users (user_id, part, first_seen, last_seen, span_start, lifecycle, lifecycle_since,
                   known_at, policy_version, updated_at, merged_into)
VALUES ($1, $3, $4, $4, $4, '{Lifecycle.NEW}', $4, $4, 0, $4, $2)
ON CONFLICT (user_id) DO UPDATE
SET merged_into = $2, revision = users.revision + 1, also_parts = '{{}}', deadline = NULL,
    deadline_to = NULL, check_at = NULL, updated_at = $4
"""  # noqa: S608  constants only

_EVENTS_AT = """
SELECT DISTINCT ON ("timestamp") "timestamp" AS at, source, event_id, received_at, historical FROM events
WHERE user_id = ANY ($1::text[]) AND "timestamp" = ANY ($2::timestamptz[]) AND active
ORDER BY "timestamp", received_at, source, event_id
"""


class PostgresMendingDesk:
    """Keeps the port `MendingDesk`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def lock(self, user_id: str) -> str | None:
        with translated():
            version: str | None = await self._connection.fetchval(_LOCK, user_id)
        return version

    async def vacate(self, user_id: str, *, now: datetime) -> None:
        with translated():
            await self._connection.execute(_VACATE, user_id, now)

    async def bury(self, user_id: str, home: str, *, part: int, now: datetime) -> None:
        with translated():
            await self._connection.execute(_BURY, user_id, home, part, now)

    async def events_at(
        self, user_ids: Collection[str], instants: Collection[datetime]
    ) -> Mapping[datetime, Logged]:
        with translated():
            rows = await self._connection.fetch(_EVENTS_AT, list(user_ids), list(instants))
        return {
            row["at"]: Logged(row["source"], row["event_id"], row["received_at"], row["historical"])
            for row in rows
        }
