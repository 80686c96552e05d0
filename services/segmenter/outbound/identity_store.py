"""Claims, and whose each id is, in Postgres, on the lane's connection and in its transaction."""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime

from services.segmenter.domain.identity import Claim, ClaimFault, Stored
from services.segmenter.domain.origin import Origin, origin_of
from services.segmenter.outbound.activity_sql import AHEAD
from services.segmenter.usecases.merge_users import Done, Logged, Merge
from services.segmenter.usecases.ports import EventKey, NoUser
from shared.database.arrays import instant_array, number_array, text_array
from shared.database.connection import Connection, translated
from shared.vocabulary import Lifecycle

# What such a row says besides its id is never read.
_SECURE = f"""
INSERT INTO users (user_id, part, first_seen, last_seen, span_start, lifecycle, lifecycle_since,
                   known_at, policy_version, updated_at, merged_into)
SELECT user_id, $2, $3, $3, $3, '{Lifecycle.NEW}', $3, $3, 0, $3, ''
FROM unnest($1::text::text[]) AS given (user_id) ORDER BY user_id
ON CONFLICT (user_id) DO NOTHING
"""  # noqa: S608  constants only

_COLUMNS = "claimed, target, at, source, event_id, fault"

_ABOUT = f"""
SELECT {_COLUMNS} FROM identity_claims
WHERE claimed = ANY ($1::text::text[]) AND fault IS NULL
UNION
SELECT {_COLUMNS} FROM identity_claims
WHERE (claimed, target) IN (SELECT * FROM unnest($1::text::text[], $2::text::text[]))
"""  # noqa: S608

# A claim leads from each of its ids to the other one, whichever it is reached by.
_CONNECTED = f"""
WITH RECURSIVE reached (user_id) AS (
    SELECT given COLLATE "C" FROM unnest($1::text::text[]) AS given
    UNION
    SELECT next.user_id
    FROM reached, LATERAL (
        SELECT target FROM identity_claims
        WHERE claimed = reached.user_id AND fault IS DISTINCT FROM '{ClaimFault.TOO_LATE}'
        UNION ALL
        SELECT claimed FROM identity_claims
        WHERE target = reached.user_id AND fault IS DISTINCT FROM '{ClaimFault.TOO_LATE}'
    ) AS next (user_id)
)
SELECT {_COLUMNS} FROM identity_claims
WHERE claimed IN (SELECT user_id FROM reached LIMIT $2 + cardinality($1::text::text[]))
  AND fault IS DISTINCT FROM '{ClaimFault.TOO_LATE}'
LIMIT $2
"""  # noqa: S608

_KEEP = """
INSERT INTO identity_claims (claimed, target, at, source, event_id, fault, decided_at)
SELECT claimed, target, at, source, event_id, nullif(fault, ''), $7
FROM unnest($1::text::text[], $2::text::text[], $3::text::timestamptz[], $4::text::text[],
            $5::text::text[], $6::text::text[])
     AS given (claimed, target, at, source, event_id, fault)
ON CONFLICT (claimed, target) DO UPDATE
SET at = EXCLUDED.at, source = EXCLUDED.source, event_id = EXCLUDED.event_id,
    fault = EXCLUDED.fault, decided_at = EXCLUDED.decided_at
"""

_THEIRS = """
UPDATE users SET merged_into = given.home, updated_at = $3
FROM unnest($1::text::text[], $2::text::text[]) AS given (user_id, home)
WHERE users.merged_into = given.user_id
"""

_BURY = """
UPDATE users
SET merged_into = given.home, revision = revision + 1, also_parts = '{}', deadline = NULL,
    deadline_to = NULL, check_at = NULL, updated_at = $3
FROM unnest($1::text::text[], $2::text::text[]) AS given (user_id, home)
WHERE users.user_id = given.user_id
"""

_VACATE = """
UPDATE users
SET merged_into = '', revision = given.revision, part = given.part,
    also_parts = given.also_parts::int[], deadline = NULL, deadline_to = NULL, check_at = NULL,
    updated_at = $5
FROM unnest($1::text::text[], $2::text::int[], $3::text::int[], $4::text::text[])
     AS given (user_id, revision, part, also_parts)
WHERE users.user_id = given.user_id
"""

_DONE = """
SELECT user_id, "timestamp", received_at FROM events
WHERE user_id = ANY ($1::text::text[]) AND active
"""

_PAYLOADS = """
SELECT user_id, payload FROM events
WHERE (user_id, "timestamp") IN (SELECT * FROM unnest($1::text::text[], $2::text::timestamptz[]))
  AND active
"""

_LOGGED = """
SELECT source, event_id, part, kafka_offset, payload FROM events
WHERE (source, event_id) IN (SELECT * FROM unnest($1::text::text[], $2::text::text[]))
"""

_NOTE = """
INSERT INTO merges (merged_at, absorbed, into_user, from_user, source, event_id, at, events_moved,
                    steps_retracted, steps_written)
SELECT $10, *
FROM unnest($1::text::text[], $2::text::text[], $3::text::text[], $4::text::text[],
            $5::text::text[], $6::text::timestamptz[], $7::text::bigint[], $8::text::int[],
            $9::text::int[])
"""


class PostgresIdentities:
    """Keeps the port `Identities`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def secure(self, user_ids: Collection[str], *, part: int, now: datetime) -> None:
        with translated():
            await self._connection.execute(_SECURE, text_array(list(user_ids)), part, now)

    async def about(self, claims: Collection[Claim]) -> Sequence[Stored]:
        pairs = sorted(each.pair for each in claims)
        with translated():
            rows = await self._connection.fetch(
                _ABOUT,
                text_array([claimed for claimed, _ in pairs]),
                text_array([target for _, target in pairs]),
            )
        return [_stored(row) for row in rows]

    async def connected(self, user_ids: Collection[str], *, limit: int) -> Sequence[Stored] | None:
        with translated():
            rows = await self._connection.fetch(_CONNECTED, text_array(list(user_ids)), limit + 1)
        return None if len(rows) > limit else [_stored(row) for row in rows]

    async def keep(self, claims: Sequence[Stored], *, now: datetime) -> None:
        # First those that hold no longer: of one id only one claim holds at a time.
        for holds in (False, True):
            kept = sorted(
                (each for each in claims if each.holds is holds), key=lambda each: each.pair
            )
            if kept:
                with translated():
                    await self._connection.execute(_KEEP, *_columns(kept), now)

    async def held_since(self) -> datetime | None:
        with translated():
            since: datetime | None = await self._connection.fetchval(
                "SELECT held_since FROM log_horizon"
            )
        return None if since is None else since + AHEAD

    async def bury(self, homes: Mapping[str, str], *, with_theirs: bool, now: datetime) -> None:
        ids = sorted(homes)
        given = text_array(ids), text_array([homes[each] for each in ids])
        with translated():
            if with_theirs:
                await self._connection.execute(_THEIRS, *given, now)
            await self._connection.execute(_BURY, *given, now)

    async def vacate(self, rows: Mapping[str, NoUser], *, now: datetime) -> None:
        ids = sorted(rows)
        with translated():
            await self._connection.execute(
                _VACATE,
                text_array(ids),
                number_array(rows[each].revision for each in ids),
                number_array(rows[each].part for each in ids),
                text_array([number_array(rows[each].also_parts) for each in ids]),
                now,
            )

    async def done(self, user_ids: Collection[str]) -> Sequence[Done]:
        with translated():
            rows = await self._connection.fetch(_DONE, text_array(list(user_ids)))
        return [Done(*row) for row in rows]

    async def origins(
        self, moments: Collection[tuple[str, datetime]]
    ) -> Mapping[str, Collection[Origin]]:
        given = sorted(set(moments))
        with translated():
            rows = await self._connection.fetch(
                _PAYLOADS,
                text_array([user_id for user_id, _ in given]),
                instant_array(at for _, at in given),
            )
        found: dict[str, set[Origin]] = defaultdict(set)
        for row in rows:
            found[row["user_id"]].add(origin_of(row["payload"].encode()))
        return found

    async def logged(self, keys: Collection[EventKey]) -> Mapping[EventKey, Logged]:
        given = sorted(keys)
        with translated():
            rows = await self._connection.fetch(
                _LOGGED,
                text_array([source for source, _ in given]),
                text_array([event_id for _, event_id in given]),
            )
        return {
            (row["source"], row["event_id"]): Logged(
                row["part"], row["kafka_offset"], row["payload"].encode()
            )
            for row in rows
        }

    async def note(self, merges: Sequence[Merge], *, now: datetime) -> None:
        if not merges:
            return
        with translated():
            await self._connection.execute(
                _NOTE,
                text_array([each.absorbed for each in merges]),
                text_array([each.into_user for each in merges]),
                text_array([each.from_user for each in merges]),
                text_array([each.claim.source for each in merges]),
                text_array([each.claim.event_id for each in merges]),
                instant_array(each.claim.at for each in merges),
                number_array(each.events_moved for each in merges),
                number_array(each.steps_retracted for each in merges),
                number_array(each.steps_written for each in merges),
                now,
            )


def _columns(claims: Sequence[Stored]) -> list[str]:
    return [
        text_array([each.claimed for each in claims]),
        text_array([each.target for each in claims]),
        instant_array(each.at for each in claims),
        text_array([each.source for each in claims]),
        text_array([each.event_id for each in claims]),
        text_array([each.fault or "" for each in claims]),
    ]


def _stored(row: Sequence[object]) -> Stored:
    claimed, target, at, source, event_id, fault = row
    assert isinstance(at, datetime)  # noqa: S101  the column's type
    return Stored(
        str(claimed),
        str(target),
        at,
        str(source),
        str(event_id),
        None if fault is None else ClaimFault(str(fault)),
    )
