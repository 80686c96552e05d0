"""Whose an id is, all ids of a user, the claims behind it, and what was merged when."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Text, case, literal, or_, select, union, union_all
from sqlalchemy.ext.asyncio import AsyncConnection

from services.api.domain.identity_views import (
    IdentityView,
    MergeFilter,
    MergeView,
    RejectedClaimView,
)
from services.api.outbound.pages import page
from shared.database.tables.identity import identity_claims as claims
from shared.database.tables.identity import merges as table
from shared.database.tables.segmenter import users


class PostgresIdentityBook:
    """Keeps the port `IdentityBook`, on a snapshot's connection."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def home(self, user_id: str) -> str | None:
        """Return the user whose an id is; itself where it was never merged, None where nothing is known of it."""
        merged_into = case((users.c.merged_into > "", users.c.merged_into), else_=users.c.user_id)
        rows = await self._connection.execute(select(merged_into).where(users.c.user_id == user_id))
        found: str | None = rows.scalar()
        return found

    async def ids_of(self, user_id: str) -> Sequence[str]:
        """Return every id under which this user's events are in the event log, their own first."""
        rows = await self._connection.execute(
            select(users.c.user_id).where(users.c.merged_into == user_id).order_by(users.c.user_id)
        )
        return [user_id, *rows.scalars()]

    async def identities(
        self, user_id: str, *, behind: str | None, limit: int
    ) -> Sequence[IdentityView]:
        """Return a page of a user's other ids, each with the claim that holds."""
        query = (
            select(
                claims.c.claimed,
                claims.c.target,
                claims.c.at,
                claims.c.source,
                claims.c.event_id,
                claims.c.decided_at,
            )
            .join(users, users.c.user_id == claims.c.claimed)
            .where(users.c.merged_into == user_id, claims.c.fault.is_(None))
            .order_by(claims.c.claimed)
            .limit(limit)
        )
        if behind is not None:
            query = query.where(claims.c.claimed > behind)
        return [IdentityView(*row) for row in await self._connection.execute(query)]

    async def rejected_claims(self, user_id: str, *, limit: int) -> Sequence[RejectedClaimView]:
        """Return the latest claims of or on any id of this user that do not hold."""
        ids = union_all(
            select(literal(user_id, Text).label("id")),
            select(users.c.user_id).where(users.c.merged_into == user_id),
        ).cte("ids")
        rejected = select(
            claims.c.claimed,
            claims.c.target,
            claims.c.at,
            claims.c.source,
            claims.c.event_id,
            claims.c.fault,
            claims.c.decided_at,
        ).where(claims.c.fault.is_not(None))
        # Two searches, each by an index: with OR between them, all claims would be read.
        found = union(
            rejected.join(ids, ids.c.id == claims.c.claimed),
            rejected.join(ids, ids.c.id == claims.c.target),
        ).subquery()
        query = (
            select(found)
            .order_by(found.c.decided_at.desc(), found.c.claimed, found.c.target)
            .limit(limit)
        )
        return [RejectedClaimView(*row) for row in await self._connection.execute(query)]

    async def merges(
        self,
        wanted: MergeFilter,
        *,
        behind: tuple[datetime, str] | None,
        limit: int,
    ) -> Sequence[MergeView]:
        query = select(
            table.c.merge_id,
            table.c.merged_at,
            table.c.absorbed,
            table.c.into_user,
            table.c.from_user,
            table.c.source,
            table.c.event_id,
            table.c.at,
            table.c.events_moved,
            table.c.steps_retracted,
            table.c.steps_written,
        )
        if wanted.user_id is not None:
            query = query.where(
                or_(table.c.absorbed == wanted.user_id, table.c.into_user == wanted.user_id)
            )
        if wanted.merged_from is not None:
            query = query.where(table.c.merged_at >= wanted.merged_from)
        if wanted.merged_to is not None:
            query = query.where(table.c.merged_at < wanted.merged_to)
        rows = await self._connection.execute(
            page(query, at=table.c.merged_at, key=table.c.merge_id, behind=behind, limit=limit)
        )
        return [MergeView(*row) for row in rows]
