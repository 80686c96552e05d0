"""Drafts, previews and activations of policies, one at a time, through a small pool that may write."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any
from uuid import uuid4

from sqlalchemy import func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from services.api.domain.policies import (
    JobView,
    NeverActivated,
    PolicyView,
    UnknownPolicy,
    active_of,
    check_candidate,
    check_draft,
    check_instant,
    soonest,
)
from services.api.domain.previews import check_previewed
from services.api.outbound.job_writer import PostgresJobChanges
from services.api.outbound.policy_reader import PostgresPolicyShelf
from services.api.outbound.pools import writing_pool
from services.api.outbound.snapshots import translated_errors
from services.api.usecases.change_policies import Doing
from shared.database.tables.jobs import jobs
from shared.database.tables.policies import policies
from shared.thresholds import Thresholds


class PostgresPolicyChanges:
    """Keeps the port `PolicyChanges`; a part of the process, for its pool."""

    def __init__(self, dsn: str) -> None:
        self._engine = writing_pool(dsn)
        self.jobs = PostgresJobChanges(self._engine)  # changed as seldom: they share the pool

    async def start(self) -> None:
        """It connects when first asked."""

    async def stop(self) -> None:
        await self._engine.dispose()

    async def draft(self, thresholds: Thresholds, doing: Doing) -> PolicyView:
        async with self._alone() as desk:
            check_draft(thresholds, desk.active)
            return await desk.add(thresholds, doing)

    async def preview(self, version: int, doing: Doing, *, at: datetime | None) -> JobView:
        async with self._alone() as desk:
            check_candidate(desk.named(version), desk.active)
            at = desk.soonest(doing.now) if at is None else at
            check_instant(at, desk.active, first=min(desk.known))
            against = {"against": desk.active.version, "at": at.isoformat()}
            return await desk.ask("policy_preview", {"version": version, **against}, doing)

    async def activate(
        self, version: int, doing: Doing, *, force: bool
    ) -> tuple[PolicyView, JobView]:
        async with self._alone() as desk:
            policy = desk.named(version)
            check_candidate(policy, desk.active)
            if not force:
                previews = await desk.shelf.previews_of(version)
                at = desk.soonest(doing.now)
                check_previewed(policy, desk.active, previews, at=at, now=doing.now)
            return await desk.activate(version, doing)

    async def roll_back(self, version: int, doing: Doing) -> tuple[PolicyView, JobView]:
        async with self._alone() as desk:
            old = desk.named(version)
            if old.activated_at is None:
                raise NeverActivated(f"version {version} never held; activate it instead")
            check_draft(old.thresholds, desk.active)
            made = await desk.add(old.thresholds, doing)
            return await desk.activate(made.version, doing)

    @asynccontextmanager
    async def _alone(self) -> AsyncIterator["_Desk"]:
        """Give a transaction beside which no other changes policies."""
        with translated_errors():
            async with self._engine.connect() as connection, connection.begin():
                await connection.execute(
                    select(func.pg_advisory_xact_lock(func.hashtext("ebbtide.policies")))
                )
                shelf = PostgresPolicyShelf(connection)
                known = {each.version: each for each in await shelf.policies()}
                yield _Desk(connection, shelf, known)


@dataclass(slots=True)
class _Desk:
    """The policies as they are while nobody else changes them."""

    connection: AsyncConnection
    shelf: PostgresPolicyShelf
    known: Mapping[int, PolicyView]

    @property
    def active(self) -> PolicyView:
        return active_of(list(self.known.values()))

    def soonest(self, now: datetime) -> datetime:
        return soonest(now, self.active, first=min(self.known))

    def named(self, version: int) -> PolicyView:
        try:
            return self.known[version]
        except KeyError:
            raise UnknownPolicy(f"there is no policy of version {version}") from None

    async def add(self, thresholds: Thresholds, doing: Doing) -> PolicyView:
        version = max(self.known) + 1
        made = {"version": version, "note": doing.note}
        by = {"created_by": doing.by, "created_at": doing.now}
        await self.connection.execute(insert(policies).values(**made, **by, **asdict(thresholds)))
        return PolicyView(version, thresholds, doing.note, doing.by, doing.now, None, None, None)

    async def activate(self, version: int, doing: Doing) -> tuple[PolicyView, JobView]:
        at = self.soonest(doing.now)
        done = {"activated_at": at, "activated_by": doing.by, "activated_note": doing.note}
        await self.connection.execute(
            update(policies).where(policies.c.version == version).values(**done)
        )
        job = await self.ask("policy_apply", {"version": version}, doing)
        [found] = [each for each in await self.shelf.policies() if each.version == version]
        return found, job

    async def ask(self, kind: str, argument: Mapping[str, Any], doing: Doing) -> JobView:
        job_id = uuid4()
        await self.connection.execute(
            insert(jobs).values(
                job_id=job_id,
                kind=kind,
                argument=argument,
                requested_by=doing.by,
                created_at=doing.now,
                updated_at=doing.now,
            )
        )
        made = await self.shelf.job(job_id)
        assert made is not None  # noqa: S101  it was made a moment ago, in this transaction
        return made
