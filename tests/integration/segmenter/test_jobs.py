"""Background jobs on a real Postgres: taken once, resumed where they were left, failed where they must."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any
from uuid import UUID

import pytest
from prometheus_client import CollectorRegistry

from services.segmenter.inbound.job_runner import JobRunner
from services.segmenter.outbound import job_store
from services.segmenter.usecases.run_jobs import Job, Stepped, pause_s, run_step
from shared.clock import SystemClock
from shared.database.connection import Connection
from shared.errors import StoreUnavailable
from shared.observability.metrics import Metrics
from tests.integration.segmenter.kit import START, Site, day

pytestmark = pytest.mark.postgres

PIECES = 5


@dataclass
class Counting:
    """Writes the numbers of its pieces, one each step. `trouble` is raised once, after that piece."""

    rate: float | None = None
    trouble: Exception | None = None
    trouble_at: int = 2
    prepared: int = 0

    async def prepare(self) -> None:
        self.prepared += 1

    async def step(self, transaction: Connection, job: Job, *, now: datetime) -> Stepped:
        piece = int(job.cursor or 0)
        await transaction.execute("INSERT INTO pieces VALUES ($1, $2)", piece, now)
        if self.trouble is not None and piece == self.trouble_at:
            trouble, self.trouble = self.trouble, None
            raise trouble
        done = piece + 1
        return Stepped(
            str(done) if done < PIECES else None, done, PIECES, result={"sum": done}, work=1
        )


async def ask(site: Site, kind: str = "counting", *, at: datetime = START) -> UUID:
    await site.owner.execute(
        "CREATE TABLE IF NOT EXISTS pieces (piece int, at timestamptz);"
        "GRANT INSERT ON pieces TO ebbtide_segmenter"
    )
    job_id: UUID = await site.owner.fetchval(
        "INSERT INTO jobs (kind, requested_by, created_at, updated_at)"
        " VALUES ($1, 'a test', $2, $2) RETURNING job_id",
        kind,
        at,
    )
    return job_id


async def row(site: Site, job_id: UUID) -> Any:
    return await site.owner.fetchrow("SELECT * FROM jobs WHERE job_id = $1", job_id)


async def pieces(site: Site) -> list[int]:
    return [
        each["piece"] for each in await site.owner.fetch("SELECT piece FROM pieces ORDER BY at")
    ]


def desk(site: Site, worker: str = "one") -> Any:
    return job_store.opened(site.database.segmenter, worker=worker)


async def test_a_job_is_done_piece_by_piece_with_its_progress_and_result(site: Site) -> None:
    job_id, kind = await ask(site), Counting()

    async with desk(site) as one:
        assert await one.take(["counting"], now=START) == (job_id, "counting")
        first = await run_step(job_id, desk=one, kind=kind, now=START)
        half = await row(site, job_id)
        while await run_step(job_id, desk=one, kind=kind, now=START):
            pass

    assert first is not None
    assert first.cursor == "1"
    assert (half["state"], half["progress_done"], half["progress_total"]) == ("running", 1, PIECES)
    done = await row(site, job_id)
    assert (done["state"], done["progress_done"], done["result"]) == ("done", 5, '{"sum": 5}')
    assert sorted(await pieces(site)) == [0, 1, 2, 3, 4]


async def test_jobs_are_taken_by_one_worker_each_the_oldest_first(site: Site) -> None:
    newer, older = await ask(site, at=day(1)), await ask(site)

    async with desk(site) as one, desk(site, "two") as two:
        taken = [await each.take(["counting"], now=START) for each in (one, two, two)]

    assert taken == [(older, "counting"), (newer, "counting"), None]


async def test_two_workers_that_ask_at_once_never_get_the_same_job(site: Site) -> None:
    jobs = {await ask(site) for _ in range(8)}

    async with desk(site) as one, desk(site, "two") as two:
        taken = [
            job
            for _ in range(4)
            for job in await asyncio.gather(
                *(each.take(["counting"], now=START) for each in (one, two))
            )
        ]

    assert {job[0] for job in taken if job} == jobs


async def test_a_kind_that_a_worker_does_not_know_is_left_to_others(site: Site) -> None:
    await ask(site, "of the future")

    async with desk(site) as one:
        assert await one.take(["counting"], now=START) is None


async def test_whoever_takes_over_goes_on_from_the_cursor_and_the_dead_one_writes_no_more(
    site: Site,
) -> None:
    job_id, kind = await ask(site), Counting()
    async with desk(site) as dead, desk(site, "two") as two:
        await dead.take(["counting"], now=START)
        await run_step(job_id, desk=dead, kind=kind, now=START)
        assert await two.take(["counting"], now=START) is None  # the lease runs
        await site.owner.execute("UPDATE jobs SET leased_until = now() - interval '1 second'")

        await two.take(["counting"], now=START)
        assert await run_step(job_id, desk=dead, kind=kind, now=START) is None
        while await run_step(job_id, desk=two, kind=kind, now=START):
            pass

    assert sorted(await pieces(site)) == [0, 1, 2, 3, 4]


async def test_a_step_that_fails_for_now_leaves_nothing_and_is_done_again(site: Site) -> None:
    job_id, kind = await ask(site), Counting(trouble=StoreUnavailable("for now"), trouble_at=0)

    async with desk(site) as one:
        await one.take(["counting"], now=START)
        with pytest.raises(StoreUnavailable):
            await run_step(job_id, desk=one, kind=kind, now=START)
        assert await pieces(site) == []
        await run_step(job_id, desk=one, kind=kind, now=START)

    assert await pieces(site) == [0]
    assert (await row(site, job_id))["state"] == "running"


async def test_a_step_that_fails_for_good_fails_the_job_and_says_why(site: Site) -> None:
    job_id, kind = await ask(site), Counting(trouble=ValueError("no such thing"), trouble_at=0)

    async with desk(site) as one:
        await one.take(["counting"], now=START)
        with pytest.raises(ValueError, match="no such thing"):
            await run_step(job_id, desk=one, kind=kind, now=START)
        assert await run_step(job_id, desk=one, kind=kind, now=START) is None

    failed = await row(site, job_id)
    assert (failed["state"], failed["error"]) == ("failed", "ValueError: no such thing")
    assert await pieces(site) == []


async def test_a_job_that_was_cancelled_stops_at_its_next_step(site: Site) -> None:
    job_id = await ask(site)

    async with desk(site) as one:
        await one.take(["counting"], now=START)
        await site.owner.execute("UPDATE jobs SET state = 'cancelled'")
        assert await run_step(job_id, desk=one, kind=Counting(), now=START) is None

    assert await pieces(site) == []


async def test_a_job_that_is_cancelled_during_a_step_keeps_that_step_and_does_no_other(
    site: Site,
) -> None:
    job_id = await ask(site)

    class Slow(Counting):
        async def step(self, transaction: Connection, job: Job, *, now: datetime) -> Stepped:
            stepped = await super().step(transaction, job, now=now)
            in_hand.set()
            await go_on.wait()
            return stepped

    in_hand, go_on, kind = asyncio.Event(), asyncio.Event(), Slow()
    async with desk(site) as one:
        await one.take(["counting"], now=START)
        step = asyncio.create_task(run_step(job_id, desk=one, kind=kind, now=START))
        await in_hand.wait()
        cancelling = asyncio.create_task(
            site.owner.fetchval("SELECT cancel_job($1, 'ann', $2)", job_id, day(1))
        )
        go_on.set()
        assert await step is not None
        assert await cancelling
        assert await run_step(job_id, desk=one, kind=kind, now=START) is None

    cancelled = await row(site, job_id)
    assert (cancelled["state"], cancelled["error"]) == ("cancelled", "cancelled by ann")
    assert (cancelled["cursor"], cancelled["progress_done"]) == ("1", 1)
    assert await pieces(site) == [0]


async def test_a_step_that_fails_after_the_job_was_cancelled_leaves_it_cancelled(
    site: Site,
) -> None:
    job_id = await ask(site)

    async with desk(site) as one:
        await one.take(["counting"], now=START)
        assert await site.owner.fetchval("SELECT cancel_job($1, 'ann', $2)", job_id, day(1))
        await one.fail(job_id, "too late", now=day(1))
        await one.release(job_id)

    assert (await row(site, job_id))["error"] == "cancelled by ann"


def test_a_job_rests_as_its_rate_asks() -> None:
    step = Stepped("1", 1, None, work=50)

    assert pause_s(step, rate=100, took_s=0.1) == pytest.approx(0.4)
    assert pause_s(step, rate=100, took_s=3) == 0
    assert pause_s(step, rate=None, took_s=0) == 0
    assert pause_s(Stepped("1", 1, None, waits=True), rate=None, took_s=0) > 0


@asynccontextmanager
async def running(site: Site, worker: str, kind: Counting) -> AsyncIterator[JobRunner]:
    runner = JobRunner(
        desks=partial(job_store.opened, site.database.segmenter, worker=worker),
        kinds={"counting": kind},
        clock=SystemClock(),
        metrics=Metrics(CollectorRegistry()),
        look_s=0.05,
    )
    await runner.start()
    try:
        yield runner
    finally:
        await runner.stop()


async def ended(site: Site, *job_ids: UUID) -> list[str]:
    rows = await until(site, job_ids, lambda each: each["state"] in ("done", "failed"))
    return [each["state"] for each in rows]


async def until(site: Site, job_ids: Sequence[UUID], holds: Callable[[Any], bool]) -> list[Any]:
    """Wait until it holds for all of the jobs."""
    async with asyncio.timeout(20):
        while True:
            rows = [await row(site, each) for each in job_ids]
            if all(map(holds, rows)):
                return rows
            await asyncio.sleep(0.02)


async def test_two_processes_share_jobs_and_survive_troubles(site: Site) -> None:
    jobs = [await ask(site) for _ in range(6)]
    troubled = Counting(trouble=StoreUnavailable("for now"))

    async with running(site, "one", troubled), running(site, "two", Counting()):
        assert await ended(site, *jobs) == ["done"] * 6

    assert sorted(await pieces(site)) == sorted(list(range(PIECES)) * 6)
    assert troubled.trouble is None


async def test_a_process_that_stops_hands_its_job_over_at_once(site: Site) -> None:
    job_id = await ask(site)
    async with running(site, "one", Counting(rate=0.5)):
        await until(site, [job_id], lambda each: each["progress_done"] > 0)

    async with running(site, "two", Counting()):
        assert await ended(site, job_id) == ["done"]

    assert sorted(await pieces(site)) == [0, 1, 2, 3, 4]


async def test_a_job_that_fails_does_not_stop_the_next(site: Site) -> None:
    failing = Counting(trouble=KeyError("broken"))
    bad, good = await ask(site), await ask(site, at=day(1))

    async with running(site, "one", failing) as runner:
        assert await ended(site, bad, good) == ["failed", "done"]
        assert runner.ended() == ""
