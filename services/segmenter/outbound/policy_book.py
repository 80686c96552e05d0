"""Users in pages and policies by version, on the connection and in the transaction of a job."""

from collections.abc import Mapping, Sequence
from datetime import datetime

from services.segmenter.domain.policy import Policy
from services.segmenter.domain.profile import Profile
from services.segmenter.outbound import fences, user_rows
from services.segmenter.usecases.policy_book import Outdated
from shared.contracts import topics
from shared.database.connection import Connection, translated

# So many users are counted in some milliseconds; of more the planner's estimate is near enough for a progress.
_FEW = 200_000

_ESTIMATE = "SELECT reltuples::bigint FROM pg_class WHERE oid = 'users'::regclass"
_COUNT = "SELECT count(*) FROM users"

_POLICY = """
SELECT version, new_for, silent_after, churned_after, returned_for FROM policies WHERE version = $1
"""

_OUTDATED = f"""
WITH page AS (
    SELECT user_id, policy_version, policy_version < $1 AND merged_into IS NULL AS outdated,
           {user_rows.SPANS} AS spans
    FROM users WHERE user_id > $2 ORDER BY user_id LIMIT $3
), taken AS (
    SELECT *, row_number() OVER by_id AS place, sum(spans) FILTER (WHERE outdated) OVER by_id AS so_far
    FROM page WINDOW by_id AS (ORDER BY user_id)
)
SELECT count(*) AS looked_at, COALESCE(max(user_id), '') AS last,
       COALESCE(array_agg(user_id) FILTER (WHERE outdated), '{{}}') AS user_ids,
       min(policy_version) FILTER (WHERE outdated) AS oldest
FROM taken WHERE place = 1 OR coalesce(so_far, 0) <= {user_rows.MOST_SPANS}
"""  # noqa: S608  constants only

_WATERMARKS = """
SELECT part, watermark FROM consumer_partition
WHERE grp = $1 AND topic = $2
"""


class PostgresPolicyBook:
    """Keeps the port `PolicyBook`."""

    def __init__(
        self, connection: Connection, *, group: str, topic: str = topics.EVENTS.name
    ) -> None:
        self._connection = connection
        self._group = group
        self._topic = topic

    async def fence(self) -> int:
        return await fences.take(self._connection)

    async def has_ended(self, fence: int) -> bool:
        return await fences.has_ended(self._connection, fence)

    async def policy(self, version: int) -> Policy | None:
        with translated():
            row = await self._connection.fetchrow(_POLICY, version)
        return None if row is None else Policy(*row)

    async def users(self) -> int:
        with translated():
            about: int = await self._connection.fetchval(_ESTIMATE)
            if about > _FEW:
                return about
            exactly: int = await self._connection.fetchval(_COUNT)
        return exactly

    async def page(self, *, behind: str, limit: int) -> Sequence[Profile]:
        with translated():
            rows = await self._connection.fetch(user_rows.PAGE, behind, limit)
        return [user_rows.profile_of(row) for row in rows]

    async def outdated(self, version: int, *, behind: str, limit: int) -> Outdated:
        with translated():
            row = await self._connection.fetchrow(_OUTDATED, version, behind, limit)
        assert row is not None  # noqa: S101  an aggregate
        return Outdated(row["looked_at"], row["last"], row["user_ids"], row["oldest"])

    async def watermarks(self) -> Mapping[int, datetime | None]:
        with translated():
            rows = await self._connection.fetch(_WATERMARKS, self._group, self._topic)
        return {row["part"]: row["watermark"] for row in rows}
