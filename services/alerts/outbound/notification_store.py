"""The intents to notify in Postgres: claimed with a lease, each call a transaction of its own."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import asyncpg

from services.alerts.domain.notice import delivery_id_of
from services.alerts.usecases.ports import Claimed
from shared.database.connection import translated

# `clock_timestamp()`, not `now()`: a claim that waited for a lock must not start in the past.
_CLAIM = """
WITH due AS (
    SELECT notification_id FROM notifications AS n
    WHERE state = 'pending' AND channel = $1 AND next_attempt_at <= clock_timestamp()
      AND (leased_until IS NULL OR leased_until <= clock_timestamp())
      AND (step = 'fired' OR NOT EXISTS (
          SELECT FROM notifications AS f
          WHERE f.alert_id = n.alert_id AND f.channel = n.channel
            AND f.step = 'fired' AND f.state = 'pending'))
    ORDER BY next_attempt_at, notification_id
    LIMIT $2
    FOR UPDATE SKIP LOCKED
)
UPDATE notifications AS n
SET leased_until = clock_timestamp() + $3::interval, attempts = attempts + 1
FROM due WHERE n.notification_id = due.notification_id
RETURNING n.notification_id, n.alert_id, n.step, n.channel, n.body, n.attempts,
    extract(epoch FROM clock_timestamp() - n.created_at)::float8 AS age_s,
    n.step <> 'fired' AND EXISTS (
        SELECT FROM notifications AS f
        WHERE f.alert_id = n.alert_id AND f.channel = n.channel
          AND f.step = 'fired' AND f.state = 'given_up') AS abandoned
"""

_DELIVERED = """
UPDATE notifications
SET state = 'delivered', settled_at = clock_timestamp(), leased_until = NULL, last_result = $2
WHERE notification_id = $1 AND state <> 'delivered'
"""

_TRY_AGAIN = """
UPDATE notifications
SET next_attempt_at = clock_timestamp() + $3::interval, leased_until = NULL, last_result = $4
WHERE notification_id = $1 AND attempts = $2 AND state = 'pending'
"""

_GIVEN_UP = """
UPDATE notifications
SET state = 'given_up', settled_at = clock_timestamp(), leased_until = NULL, last_result = $3
WHERE notification_id = $1 AND attempts = $2 AND state = 'pending'
"""

_PENDING = (
    "SELECT channel, count(*) AS n FROM notifications WHERE state = 'pending' GROUP BY channel"
)


class PostgresNotifications:
    """The intents to notify. Connects when first asked, and again whenever it lost Postgres."""

    def __init__(self, dsn: str, *, application_name: str, timeout_s: float = 10.0) -> None:
        self._dsn = dsn
        self._application_name = application_name
        self._timeout_s = timeout_s
        self._pool: Any = None

    async def close(self) -> None:
        if self._pool is not None:
            self._pool.terminate()
            self._pool = None

    async def claim(self, channel: str, *, limit: int, lease_s: float) -> list[Claimed]:
        rows = await self._fetch(_CLAIM, channel, limit, timedelta(seconds=lease_s))
        return [_claimed(row) for row in rows]

    async def delivered(self, claimed: Claimed, *, detail: str) -> None:
        await self._fetch(_DELIVERED, claimed.notification_id, detail)

    async def try_again(self, claimed: Claimed, *, wait_s: float, detail: str) -> None:
        await self._fetch(
            _TRY_AGAIN, claimed.notification_id, claimed.attempt, timedelta(seconds=wait_s), detail
        )

    async def given_up(self, claimed: Claimed, *, detail: str) -> None:
        await self._fetch(_GIVEN_UP, claimed.notification_id, claimed.attempt, detail)

    async def pending(self) -> Mapping[str, int]:
        return {row["channel"]: row["n"] for row in await self._fetch(_PENDING)}

    async def _fetch(self, query: str, *values: object) -> list[Any]:
        with translated():
            pool = await self._opened()
            async with pool.acquire(timeout=self._timeout_s) as connection:
                rows = await connection.fetch(query, *values, timeout=self._timeout_s)
        return list(rows)

    async def _opened(self) -> Any:
        if self._pool is None:
            # min_size 0: nothing is connected before it is needed, so a start without Postgres works.
            self._pool = await asyncpg.create_pool(
                self._dsn,
                min_size=0,
                max_size=4,
                timeout=self._timeout_s,
                command_timeout=self._timeout_s,
                server_settings={"application_name": self._application_name},
            )
        return self._pool


def _claimed(row: Any) -> Claimed:
    return Claimed(
        notification_id=row["notification_id"],
        delivery_id=delivery_id_of(row["alert_id"], row["step"], row["channel"]),
        body=row["body"].encode(),
        attempt=row["attempts"],
        age_s=row["age_s"],
        abandoned=row["abandoned"],
    )
