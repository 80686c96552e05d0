"""Jobs that ended long ago are deleted, and nothing that is still referred to."""

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import asyncpg
import pytest

from services.segmenter.outbound.event_log import opened
from tests.integration.segmenter.kit import Site, day

pytestmark = pytest.mark.postgres

LONG_AGO = day(1)
BEFORE = day(10)
ENDED = ["done", "failed", "cancelled"]


async def job(
    site: Site,
    kind: str = "policy_preview",
    state: str = "done",
    *,
    at: datetime = LONG_AGO,
    ended: datetime | None = None,
    argument: str = "{}",
) -> UUID:
    made: UUID = await site.owner.fetchval(
        "INSERT INTO jobs (kind, state, argument, requested_by, created_at, updated_at)"
        " VALUES ($1, $2, $3, 'a test', $4, $5) RETURNING job_id",
        kind,
        state,
        argument,
        at,
        ended or at,
    )
    return made


async def forget(site: Site, *, limit: int = 100) -> int:
    async with opened(site.database.segmenter, worker="test") as shelf:
        assert shelf is not None
        return await shelf.forget(BEFORE, limit=limit)


async def left(site: Site) -> list[Any]:
    rows = await site.owner.fetch("SELECT job_id FROM jobs ORDER BY created_at")
    return [row["job_id"] for row in rows]


async def funnel(site: Site, state: str) -> int:
    made: int = await site.owner.fetchval(
        "INSERT INTO funnels (name, steps, window_s, state, created_at)"
        " VALUES ($1, '[{}, {}]', 60, $1, $2) RETURNING funnel_id",
        state,
        LONG_AGO,
    )
    return made


@pytest.mark.parametrize("state", ENDED)
async def test_a_job_goes_when_it_ended_before_the_instant(site: Site, state: str) -> None:
    await job(site, state=state)
    younger = await job(site, state=state, at=BEFORE)
    ran_long = await job(site, state=state, at=day(2), ended=BEFORE + timedelta(seconds=1))

    assert await forget(site) == 1
    assert await left(site) == [ran_long, younger]


@pytest.mark.parametrize("state", ["waiting", "running"])
async def test_what_has_not_ended_stays_however_old(site: Site, state: str) -> None:
    open_job = await job(site, state=state)

    assert await forget(site) == 0
    assert await left(site) == [open_job]


async def test_the_oldest_go_first_a_batch_at_a_time(site: Site) -> None:
    jobs = [await job(site, at=LONG_AGO + timedelta(minutes=each)) for each in range(5)]

    assert await forget(site, limit=2) == 2
    assert await left(site) == jobs[2:]
    assert [await forget(site, limit=2) for _ in range(3)] == [2, 1, 0]


async def test_jobs_that_stay_do_not_stand_before_those_that_go(site: Site) -> None:
    kept = await job(site, "policy_apply", argument='{"version": 2}')
    await job(site, at=day(2))

    assert await forget(site, limit=1) == 1
    assert await left(site) == [kept]


@pytest.mark.parametrize("state", ENDED)
async def test_the_application_of_the_newest_policy_stays(site: Site, state: str) -> None:
    for version in (2, 9):
        await job(site, "policy_apply", argument=f'{{"version": {version}}}')
    newest = await job(site, "policy_apply", state, argument='{"version": 10}')

    assert await forget(site) == 2
    assert await left(site) == [newest]


@pytest.mark.parametrize(
    ("kind", "of_funnel", "stays"),
    [
        ("backfill_funnel", "backfilling", True),
        ("backfill_funnel", "live", False),
        ("delete_funnel", "deleting", True),
    ],
)
async def test_what_says_why_a_funnel_is_not_counted_or_not_gone_stays(
    site: Site, kind: str, of_funnel: str, *, stays: bool
) -> None:
    argument = f'{{"funnel_id": {await funnel(site, of_funnel)}}}'
    await job(site, kind, "failed", argument=argument)

    assert await forget(site) == (0 if stays else 1)


async def test_jobs_of_a_funnel_that_is_gone_go(site: Site) -> None:
    await job(site, "delete_funnel", argument='{"funnel_id": 9}')

    assert await forget(site) == 1


async def test_the_segmenters_role_deletes_no_job_by_itself(site: Site) -> None:
    desk = await site.desk()

    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await desk.connection.execute("DELETE FROM jobs")
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await desk.connection.execute("SELECT cancel_job(gen_random_uuid(), 'x', now())")
