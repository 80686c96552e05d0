"""Definitions of funnels, written through a small pool that may write, unlike the snapshots' own."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from services.api.domain.funnels import MOST_FUNNELS, FunnelDefinition, FunnelView
from services.api.outbound import funnel_reader
from services.api.outbound.pools import writing_pool
from services.api.outbound.snapshots import translated_errors
from services.api.usecases.define_funnels import FunnelNameTaken, TooManyFunnels

# Whoever changes the definitions holds this row: so the number of funnels can't be overrun by two at once.
_NEW_VERSION = text("UPDATE funnels_version SET version = gen_random_uuid()")

_COUNT = text("SELECT count(*) FROM funnels WHERE state <> 'deleting'")

_DEFINE = text("""
INSERT INTO funnels (name, steps, window_s, created_at)
VALUES (:name, CAST(:steps AS jsonb), :window_s, :created_at)
ON CONFLICT (name) WHERE state <> 'deleting' DO NOTHING
RETURNING funnel_id
""")

_DELETE = text("""
UPDATE funnels SET state = 'deleting'
WHERE funnel_id = :funnel_id AND state <> 'deleting'
RETURNING funnel_id
""")

_ASK = text("""
INSERT INTO jobs (kind, argument, requested_by, created_at, updated_at)
VALUES (:kind, jsonb_build_object('funnel_id', CAST(:funnel_id AS integer)), :by, :now, :now)
""")


class PostgresFunnelDefinitions:
    """Keeps the port `FunnelDefinitions`; a part of the process, for its pool."""

    def __init__(self, dsn: str) -> None:
        self._engine = writing_pool(dsn)

    async def start(self) -> None:
        """It connects when first asked."""

    async def stop(self) -> None:
        await self._engine.dispose()

    async def define(self, wanted: FunnelDefinition, *, by: str, now: datetime) -> FunnelView:
        async with self._changed() as connection:
            if (await connection.execute(_COUNT)).scalar_one() >= MOST_FUNNELS:
                raise TooManyFunnels(f"there are {MOST_FUNNELS} funnels, as many as there may be")
            given = {
                "name": wanted.name,
                "steps": json.dumps(wanted.steps),
                "window_s": wanted.window_s,
                "created_at": now,
            }
            funnel_id = (await connection.execute(_DEFINE, given)).scalar()
            if funnel_id is None:
                raise FunnelNameTaken("another funnel has this name")
            await _ask(connection, "backfill_funnel", funnel_id, by=by, now=now)
            made = await funnel_reader.funnel(connection, funnel_id)
        assert made is not None  # noqa: S101  it was made a moment ago, in this transaction
        return made

    async def delete(self, funnel_id: int, *, by: str, now: datetime) -> bool:
        async with self._changed() as connection:
            found = (await connection.execute(_DELETE, {"funnel_id": funnel_id})).scalar()
            if found is not None:
                await _ask(connection, "delete_funnel", funnel_id, by=by, now=now)
        return found is not None

    @asynccontextmanager
    async def _changed(self) -> AsyncIterator[AsyncConnection]:
        """Give a transaction that changes the definitions, and their version with them."""
        with translated_errors():
            async with self._engine.connect() as connection, connection.begin():
                await connection.execute(_NEW_VERSION)
                yield connection


async def _ask(
    connection: AsyncConnection, kind: str, funnel_id: int, *, by: str, now: datetime
) -> None:
    """Ask for a job of the segmenter, in the transaction that makes it necessary."""
    await connection.execute(_ASK, {"kind": kind, "funnel_id": funnel_id, "by": by, "now": now})
