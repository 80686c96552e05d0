"""One snapshot of the live tables, held open for as long as a rebuild reads."""

from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from itertools import groupby
from typing import Any

import asyncpg

from services.segmenter.domain.channels import Channels
from services.segmenter.domain.funnel import Funnels
from services.segmenter.domain.lifecycle import Step
from services.segmenter.domain.origin import Origin, least, origin_of
from services.segmenter.domain.rebuilding import Reach, Row, Times
from services.segmenter.domain.replay import Deed
from services.segmenter.outbound import user_rows
from services.segmenter.outbound.channel_book import read_channels
from services.segmenter.outbound.funnel_log import event_of
from services.segmenter.outbound.funnel_store import funnel_of
from services.segmenter.outbound.profile_store import PostgresStore
from services.segmenter.usecases.rebuild_funnels import Defined
from services.segmenter.usecases.rebuild_ports import First
from shared.contracts.events import EventEnvelope
from shared.database import session
from shared.database.arrays import text_array
from shared.database.connection import Connection, translated
from shared.database.product import stored_zone
from shared.errors import StoreUnavailable
from shared.vocabulary import Lifecycle, TransitionReason

# Unlike a lane's it waits for its answers, and holds no lock that a lane waits for. A process that is frozen
# must not keep the dead rows of all tables for ever.
_PATIENT = {
    "idle_in_transaction_session_timeout": "10min",
    "cursor_tuple_fraction": "1",
    "work_mem": "64MB",
    "jit": "off",
    "tcp_keepalives_idle": "5",
    "tcp_keepalives_interval": "2",
    "tcp_keepalives_count": "3",
    "plan_cache_mode": "force_custom_plan",
    "timezone": "UTC",
}

_LIFECYCLES = {each.value: each for each in Lifecycle}
_REASONS = {each.value: each for each in TransitionReason}

# Rows that are in memory at once.
FETCHED = 5_000

_REACHES = """
SELECT part, watermark, greatest(folded_until, watermark) AS folded FROM consumer_partition
WHERE grp = $1
"""

_ROWS = """
SELECT user_id, xmin::text AS version, check_at, first_seen, merged_into FROM users
WHERE user_id > $1 AND ($3::text[] IS NULL OR user_id = ANY ($3)) ORDER BY user_id LIMIT $2
"""

# The columns of a whole user, as everybody reads them; a snapshot locks nobody.
_WHOLE = user_rows.WHOLE

_CLAIMED = """
SELECT user_id FROM (
    SELECT claimed AS user_id FROM identity_claims WHERE fault IS NULL
    UNION
    SELECT target FROM identity_claims WHERE fault IS NULL
) AS of_claims
WHERE user_id > $1 AND ($2::text IS NULL OR user_id <= $2) AND ($3::text[] IS NULL OR user_id = ANY ($3))
"""

# Whose an id is follows from the claims; what rows say of it is compared with them.
_HOMES = """
WITH RECURSIVE way (user_id, home) AS (
    SELECT claimed, target FROM identity_claims WHERE claimed = ANY ($1::text[]) AND fault IS NULL
    UNION
    SELECT way.user_id, next.target
    FROM way JOIN identity_claims AS next ON next.claimed = way.home AND next.fault IS NULL
)
SELECT user_id, home FROM way
WHERE NOT EXISTS (SELECT FROM identity_claims WHERE claimed = way.home AND fault IS NULL)
"""

_OTHER_IDS = """
WITH RECURSIVE theirs (home, user_id) AS (
    SELECT target, claimed FROM identity_claims WHERE target = ANY ($1::text[]) AND fault IS NULL
    UNION
    SELECT theirs.home, next.claimed
    FROM theirs JOIN identity_claims AS next ON next.target = theirs.user_id AND next.fault IS NULL
)
SELECT home, array_agg(user_id) FROM theirs GROUP BY home
"""

_DEEDS = """
SELECT user_id, "timestamp", received_at, part FROM events
WHERE active {condition} ORDER BY user_id, "timestamp"
"""

# By its receipt an event is looked for in its own day only.
_PAYLOADS = """
SELECT event.user_id, event."timestamp", event.received_at, event.payload
FROM unnest($1::text[], $2::timestamptz[], $3::timestamptz[]) AS first (user_id, at, received_at)
CROSS JOIN LATERAL (
    SELECT user_id, "timestamp", received_at, payload FROM events
    WHERE user_id = first.user_id AND "timestamp" = first.at AND received_at = first.received_at
      AND active
) AS event
"""

_STANDING = """
SELECT user_id, at, before, after, reason, policy_version FROM transitions
WHERE retracted_at IS NULL AND kind = 'lifecycle'
  AND user_id > $1 AND ($2::text IS NULL OR user_id <= $2) AND ($3::text[] IS NULL OR user_id = ANY ($3))
ORDER BY user_id, at
"""


# Tables that are emptied later look empty to earlier snapshots, too, and a log whose oldest day is dropped looks as if
# it held all since the horizon that they know. No snapshot is taken for this yet.
_LOG_STAYS = "LOCK TABLE events IN ACCESS SHARE MODE"
_FUNNELS_STAY = "LOCK TABLE funnel_users, funnel_counts IN ACCESS SHARE MODE"

_FUNNELS = """
SELECT funnel_id, steps, window_s, state FROM funnels
WHERE state <> 'deleting' ORDER BY funnel_id
"""

# Sorted, so that a user's marks are written about once.
_STEPS = """
SELECT source, event_id, user_id, type, name, "timestamp", received_at,
       CASE WHEN $2 THEN payload END AS payload
FROM events WHERE name = ANY ($1::text[]) ORDER BY user_id
"""


class PostgresSnapshot:
    """Keeps the ports `Snapshot` and `StepSnapshot`."""

    def __init__(self, connection: Connection, *, group: str) -> None:
        self._connection = connection
        self._group = group
        self._channels: Channels | None = None

    async def times(self) -> Times:
        policies = await PostgresStore(self._connection).policies()
        with translated():
            rows = await self._connection.fetch(_REACHES, self._group)
            held_since = await self._connection.fetchval("SELECT held_since FROM log_horizon")
        reaches = {row["part"]: Reach(row["watermark"], row["folded"]) for row in rows}
        return Times(policies, reaches, held_since)

    async def zone(self) -> str | None:
        return await stored_zone(self._connection, "")

    async def users(self) -> int:
        with translated():
            number: int = await self._connection.fetchval("SELECT count(*) FROM users")
        return number

    async def rows(
        self, behind: str, *, limit: int, user_ids: Collection[str] | None = None
    ) -> Sequence[Row]:
        given = None if user_ids is None else list(user_ids)
        with translated():
            rows = await self._connection.fetch(_ROWS, behind, limit, given)
            ids = text_array([row["user_id"] for row in rows])
            stored = await self._connection.fetch(_WHOLE, ids)
        profiles = {row["user_id"]: _profile_of(row) for row in stored}
        return [
            Row(
                row["user_id"],
                row["version"],
                profiles[row["user_id"]] if row["merged_into"] is None else None,
                row["check_at"],
                _in_utc(row["first_seen"]),
                row["merged_into"],
            )
            for row in rows
        ]

    async def deeds(
        self, user_ids: Collection[str] | None = None
    ) -> AsyncIterator[tuple[str, Sequence[Deed]]]:
        condition = "" if user_ids is None else "AND user_id = ANY ($1::text[])"
        given = () if user_ids is None else (list(user_ids),)
        with translated():
            cursor = await self._connection.cursor(_DEEDS.format(condition=condition), *given)
        while True:
            with translated():
                rows = await cursor.fetch(FETCHED)
            if not rows:
                return
            for user_id, of_user in groupby(rows, key=lambda row: row[0]):
                yield user_id, [Deed(at, received, part) for _, at, received, part in of_user]

    async def origins(self, firsts: Collection[First]) -> Mapping[First, Origin]:
        found: dict[First, Origin] = {}
        columns = zip(*firsts, strict=True) if firsts else ((), (), ())
        with translated():
            rows = await self._connection.fetch(_PAYLOADS, *map(list, columns))
        if self._channels is None:
            _, self._channels = await read_channels(self._connection)
        for user_id, at, received_at, payload in rows:
            first = First(user_id, at, received_at)
            origin = self._channels.counted(origin_of(payload.encode()))
            found[first] = least((origin, found.get(first, origin)))
        return found

    async def funnels(self) -> Defined:
        with translated():
            rows = await self._connection.fetch(_FUNNELS)
        return Defined(
            Funnels(funnel_of(row) for row in rows if row["state"] == "live"),
            [row["funnel_id"] for row in rows if row["state"] != "live"],
        )

    async def steps(self, funnels: Funnels) -> AsyncIterator[Sequence[EventEnvelope]]:
        asks = any(step.conditions for each in funnels.by_id.values() for step in each.steps)
        with translated():
            cursor = await self._connection.cursor(_STEPS, funnels.names, asks)
        while True:
            with translated():
                rows = await cursor.fetch(FETCHED)
            if not rows:
                return
            yield [event_of(row) for row in rows]

    async def standing(
        self, behind: str, *, until: str | None, user_ids: Collection[str] | None = None
    ) -> Mapping[str, Sequence[Step]]:
        given = None if user_ids is None else list(user_ids)
        with translated():
            rows = await self._connection.fetch(_STANDING, behind, until, given)
        return {
            user_id: [_step_of(row) for row in of_user]
            for user_id, of_user in groupby(rows, key=lambda row: row[0])
        }

    async def claimed(
        self, behind: str, *, until: str | None, user_ids: Collection[str] | None = None
    ) -> Collection[str]:
        given = None if user_ids is None else list(user_ids)
        with translated():
            rows = await self._connection.fetch(_CLAIMED, behind, until, given)
        return [row["user_id"] for row in rows]

    async def homes(self, user_ids: Collection[str]) -> Mapping[str, str]:
        with translated():
            rows = await self._connection.fetch(_HOMES, list(user_ids))
        return dict(map(tuple, rows))

    async def other_ids(self, user_ids: Collection[str]) -> Mapping[str, Sequence[str]]:
        with translated():
            rows = await self._connection.fetch(_OTHER_IDS, list(user_ids))
        return dict(map(tuple, rows))


@asynccontextmanager
async def connected(dsn: str, *, worker: str, writes: bool = False) -> AsyncIterator[Connection]:
    """Open a connection that waits for its answers; one for snapshots only reads. Raises StoreUnavailable."""
    settings = {
        **_PATIENT,
        "default_transaction_read_only": "off" if writes else "on",
        "application_name": worker[:63],
    }
    try:
        with translated():
            connection = await asyncpg.connect(
                dsn, timeout=session.CONNECT_S, server_settings=settings
            )
    except (ValueError, OverflowError) as error:  # they quote the address, password and all
        raise StoreUnavailable(f"unusable address of Postgres: {type(error).__name__}") from None
    try:
        yield connection
    finally:
        await session.close(connection)


@asynccontextmanager
async def taken(
    connection: Connection, *, group: str, with_funnels: bool = False
) -> AsyncIterator[PostgresSnapshot]:
    """Take a snapshot: whatever is read through it is as of one instant; marks of funnels only `with_funnels`."""
    with translated():
        transaction = connection.transaction(isolation="repeatable_read", readonly=True)
        await transaction.start()
        await connection.execute(_LOG_STAYS)
        if with_funnels:
            await connection.execute(_FUNNELS_STAY)
    try:
        yield PostgresSnapshot(connection, group=group)
    finally:
        if not connection.is_closed():
            with translated():
                await transaction.rollback()


def _profile_of(row: Any) -> Any:
    """Return the user of a row, None where something in it can't be."""
    try:
        profile = user_rows.profile_of(row)
    except (ValueError, KeyError, IndexError):
        return None
    ends = (at for span in profile.spans for at in (span.start, span.end))
    return None if any(at.tzinfo is None for at in ends) else profile


def _in_utc(instant: datetime) -> datetime:
    """Return an instant of the driver's, for which what lies infinitely far is in no zone."""
    return instant if instant.tzinfo is not None else instant.replace(tzinfo=UTC)


def _step_of(row: Sequence[Any]) -> Step:
    _, at, before, after, reason, policy_version = row
    return Step(
        at,
        None if before is None else _LIFECYCLES[before],
        _LIFECYCLES[after],
        _REASONS[reason],
        policy_version,
    )
