"""The background jobs of funnels: taken, resumed by another process, and done to the end."""

import asyncio
import random
from collections.abc import AsyncIterator
from datetime import timedelta
from functools import partial
from typing import Any
from uuid import UUID

import pytest
import pytest_asyncio

from services.segmenter.inbound.funnel_jobs import BACKFILL, DELETE, BackfillFunnel, DeleteFunnel
from services.segmenter.outbound import job_store
from services.segmenter.outbound.funnel_log import PostgresFunnelLog
from services.segmenter.outbound.funnel_remains import PostgresFunnelRemains
from services.segmenter.outbound.funnel_store import PostgresFunnelStore
from services.segmenter.usecases.run_jobs import JobKind, run_step
from shared.contracts.events import EventEnvelope
from shared.database import session
from shared.database.connection import Connection
from tests.integration.segmenter.funnel_kit import (
    NAMES,
    append,
    cells_of,
    day_of,
    define,
    expected,
    make_room,
    step,
)
from tests.integration.segmenter.kit import START, Site, day

pytestmark = pytest.mark.postgres

KINDS: dict[str, JobKind[Connection]] = {
    BACKFILL: BackfillFunnel(logs=PostgresFunnelLog, stores=PostgresFunnelStore, day_of=day_of),
    DELETE: DeleteFunnel(remains=PostgresFunnelRemains, chunk=5),
}


@pytest_asyncio.fixture
async def lane(site: Site) -> AsyncIterator[Connection]:
    await make_room(site.owner, [step("u", day(number), "Viewed") for number in range(3)])
    connection = await session.connect(site.database.segmenter, worker="lane")
    try:
        yield connection
    finally:
        await connection.close()


def traffic(number: int) -> list[EventEnvelope]:
    chance = random.Random(number)
    return [
        step(
            f"u{each % (number // 5)}",
            day(0) + chance.randrange(60) * timedelta(minutes=15),
            chance.choice(NAMES),
            event_id=str(each),
            received_at=day(each % 3),
        )
        for each in range(number)
    ]


async def log(lane: Connection, events: list[EventEnvelope]) -> None:
    async with lane.transaction():
        await append(lane, events)


async def ask(site: Site, kind: str, funnel_id: int) -> UUID:
    job_id: UUID = await site.owner.fetchval(
        """
        INSERT INTO jobs (kind, argument, requested_by, created_at, updated_at)
        VALUES ($1, jsonb_build_object('funnel_id', $2::int), 'a test', $3, $3) RETURNING job_id
        """,
        kind,
        funnel_id,
        START,
    )
    return job_id


async def work(site: Site, worker: str, *, steps: int = 1_000) -> Any:
    """Take a job, do at most so many steps of it, and return its row."""
    async with job_store.opened(site.database.segmenter, worker=worker) as desk:
        taken = await desk.take(list(KINDS), now=START)
        assert taken is not None
        job_id, kind = taken
        do = partial(run_step, job_id, desk=desk, kind=KINDS[kind], now=START)
        async with asyncio.timeout(30):
            while steps and (stepped := await do()) and stepped.cursor is not None:
                steps -= 1
        await desk.release(job_id)
    return await site.owner.fetchrow("SELECT * FROM jobs WHERE job_id = $1", job_id)


async def deleted(site: Site, funnel_id: int) -> None:
    async with site.owner.transaction():
        await site.owner.execute("UPDATE funnels_version SET version = gen_random_uuid()")
        await site.owner.execute(
            "UPDATE funnels SET state = 'deleting' WHERE funnel_id = $1", funnel_id
        )


async def test_a_new_funnel_is_counted_from_the_log_and_goes_live(
    site: Site, lane: Connection
) -> None:
    events = traffic(60)
    await log(lane, events)
    funnel = await define(site.owner)
    await ask(site, BACKFILL, funnel)

    job = await work(site, "one")

    assert await cells_of(site.owner, funnel) == expected(events)
    assert await site.owner.fetchval("SELECT state FROM funnels") == "live"
    assert job["state"] == "done"
    assert job["progress_done"] == job["progress_total"] > 0


@pytest.mark.parametrize("steps", range(1, 7))
async def test_whoever_takes_over_counts_on_to_the_same_numbers(
    site: Site, lane: Connection, steps: int
) -> None:
    events = traffic(60)
    await log(lane, events)
    funnel = await define(site.owner)
    await ask(site, BACKFILL, funnel)

    half = await work(site, "one", steps=steps)
    other = await work(site, "two")

    assert half["state"] == "running"
    assert other["state"] == "done"
    assert await cells_of(site.owner, funnel) == expected(events)


async def test_a_deleted_funnel_leaves_nothing_behind_and_its_neighbour_alone(
    site: Site, lane: Connection
) -> None:
    funnel, neighbour = await define(site.owner), await define(site.owner)
    events = traffic(60)
    await log(lane, events)
    await deleted(site, funnel)
    await ask(site, DELETE, funnel)

    job = await work(site, "one")

    assert (job["state"], job["progress_done"]) == ("done", 12)
    for table in ("funnels", "funnel_users", "funnel_counts"):
        left = await site.owner.fetch(f"SELECT DISTINCT funnel_id FROM {table}")  # noqa: S608
        assert left == [(neighbour,)], table
    assert await cells_of(site.owner, neighbour) == expected(events)


async def test_a_batch_that_still_counts_for_a_deleted_funnel_is_waited_for(
    site: Site, lane: Connection
) -> None:
    funnel = await define(site.owner)
    async with lane.transaction():
        await append(lane, [step("u", day(0), "Viewed")])
        await deleted(site, funnel)
        await ask(site, DELETE, funnel)
        waiting = await work(site, "one", steps=3)
    await work(site, "one")

    assert waiting["state"] == "running"
    assert await site.count("funnel_users") == 0
    assert await site.count("funnel_counts") == 0
    assert await site.count("funnels") == 0


async def test_a_back_fill_of_a_funnel_that_is_gone_ends(site: Site, lane: Connection) -> None:
    await log(lane, traffic(10))
    funnel = await define(site.owner)
    await ask(site, BACKFILL, funnel)
    await work(site, "one", steps=1)
    await deleted(site, funnel)

    assert (await work(site, "two"))["state"] == "done"
    assert await site.count("funnel_users") == 0


async def test_all_funnels_can_be_counted_anew_while_events_come(
    site: Site, lane: Connection
) -> None:
    events = traffic(90)
    await log(lane, events[:60])
    funnels = [await define(site.owner), await define(site.owner)]
    await ask(site, BACKFILL, funnels[0])
    await work(site, "one")
    await ask(site, BACKFILL, funnels[1])
    interrupted = await work(site, "one", steps=3)
    await site.owner.execute("UPDATE funnel_counts SET users = users + 7")
    await site.owner.execute("UPDATE funnel_users SET user_id = 'wrong ' || user_id")

    asked = await lane.fetchval("SELECT recount_funnels('an operator', $1)", day(1))
    await log(lane, events[60:])
    shown = await site.owner.fetch("SELECT DISTINCT state, pages FROM funnels")
    jobs = [await work(site, "two"), await work(site, "two")]

    assert asked == 2
    assert shown == [("backfilling", None)]
    assert [job["state"] for job in jobs] == ["done", "done"]
    for funnel in funnels:
        assert await cells_of(site.owner, funnel) == expected(events)
    states = "SELECT state FROM jobs WHERE job_id = $1"
    assert await site.owner.fetchval(states, interrupted["job_id"]) == "cancelled"
