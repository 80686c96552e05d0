"""A policy is previewed, activated and applied on a real Postgres, beside lanes that go on."""

import json
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from functools import partial
from typing import Any
from uuid import UUID

import pytest
from prometheus_client import CollectorRegistry

from services.segmenter.domain.calendar import Calendar
from services.segmenter.inbound.policy_jobs import (
    APPLY,
    CHUNK_OF_LOG,
    PREVIEW,
    ApplyPolicy,
    PreviewPolicy,
)
from services.segmenter.outbound import job_store
from services.segmenter.outbound.policy_book import PostgresPolicyBook
from services.segmenter.outbound.profile_store import PostgresStore
from services.segmenter.outbound.user_rows import MOST_SPANS
from services.segmenter.usecases.adopt_policies import PoliciesOutdated
from services.segmenter.usecases.ports import NoRoomYet
from services.segmenter.usecases.run_jobs import JobKind, Stepped, run_step
from services.segmenter.usecases.sweep_deadlines import sweep_deadlines
from services.segmenter.usecases.write_history import Occasion
from shared.database.connection import Connection
from shared.observability.metrics import Metrics
from shared.vocabulary import EventType
from tests.integration.segmenter.kit import DAY, GROUP, START, TOPIC, ZONE, Site, day, event

pytestmark = pytest.mark.postgres

FIRST = (7, 7, 30, 7)
STRICT = (7, 2, 5, 7)


async def activate(
    site: Site, version: int, days: tuple[float, float, float, float], *, at: datetime
) -> UUID:
    """Activate a policy as the api does; return the job that applies it."""
    await draft(site, version, days)
    async with site.owner.transaction():
        await site.owner.execute(
            "UPDATE policies SET activated_at = $2 WHERE version = $1", version, at
        )
        return await ask(site, APPLY, {"version": version})


async def draft(site: Site, version: int, days: tuple[float, float, float, float]) -> None:
    await site.owner.execute(
        "INSERT INTO policies (version, new_for, silent_after, churned_after, returned_for, note)"
        " VALUES ($1, $2, $3, $4, $5, 'of a test')",
        version,
        *(each * DAY for each in days),
    )


async def ask(site: Site, kind: str, argument: Mapping[str, Any]) -> UUID:
    job_id: UUID = await site.owner.fetchval(
        "INSERT INTO jobs (kind, argument, requested_by, created_at, updated_at)"
        " SELECT $1, $2::jsonb, 'a test', $3::timestamptz + count(*) * interval '1 second', $3 FROM jobs"
        " RETURNING job_id",
        kind,
        json.dumps(argument),
        START,
    )
    return job_id


def kinds(site: Site, *, rate: float = 1e6) -> dict[str, JobKind[Connection]]:
    books = partial(PostgresPolicyBook, group=GROUP, topic=TOPIC)
    apply = ApplyPolicy(
        stores=PostgresStore,
        books=books,
        room=site.room,
        group=GROUP,
        live_window=DAY,
        calendar=Calendar(ZONE),
        rate=rate,
        metrics=Metrics(CollectorRegistry()),
    )
    return {APPLY: apply, PREVIEW: PreviewPolicy(stores=PostgresStore, books=books)}


class Worker:
    """Steps through a job by hand; whatever is older it takes as well, and lets lie."""

    def __init__(self, desk: job_store.PostgresJobs, site: Site, rate: float) -> None:
        self._desk = desk
        self._kinds = kinds(site, rate=rate)
        self._taken: tuple[UUID, str] | None = None

    async def step(self, job_id: UUID, *, now: datetime) -> Stepped | None:
        while self._taken is None or self._taken[0] != job_id:
            self._taken = await self._desk.take(list(self._kinds), now=now)
            if self._taken is None:
                return None
        kind = self._kinds[self._taken[1]]
        return await run_step(job_id, desk=self._desk, kind=kind, now=now)


@asynccontextmanager
async def worker(site: Site, name: str = "one", *, rate: float = 1e6) -> AsyncIterator[Worker]:
    async with job_store.opened(site.database.segmenter, worker=name) as desk:
        yield Worker(desk, site, rate)


async def run(site: Site, job_id: UUID, *, now: datetime) -> Any:
    """Run the job to its end; return its result."""
    async with worker(site) as one:
        for _ in range(1_000):
            stepped = await one.step(job_id, now=now)
            if stepped is None or stepped.cursor is None:
                break
    row = await site.owner.fetchrow("SELECT * FROM jobs WHERE job_id = $1", job_id)
    assert (row["state"], row["error"]) == ("done", None)
    assert row["progress_done"] == row["progress_total"]
    return json.loads(row["result"])


async def lifecycles(site: Site) -> dict[str, str]:
    rows = await site.owner.fetch("SELECT user_id, lifecycle FROM users WHERE merged_into IS NULL")
    return {row["user_id"]: row["lifecycle"] for row in rows}


async def versions(site: Site) -> Counter[int]:
    rows = await site.owner.fetch("SELECT policy_version FROM users")
    return Counter(row["policy_version"] for row in rows)


async def test_the_pass_brings_every_user_up_and_writes_what_changed_at_the_activation(
    site: Site,
) -> None:
    await site.fold(event("early", START), event("late", day(5)))
    await site.sweep(day(6))

    result = await run(site, await activate(site, 2, STRICT, at=day(6)), now=day(6))

    assert result == {"users": 2, "transitions": 1}
    assert await site.history("early") == [(START, "new"), (day(6), "churned")]
    assert await site.history("late") == [(day(5), "new")]
    changed = (await site.transitions("early"))[-1]
    assert (changed["reason"], changed["policy_version"]) == ("policy_changed", 2)
    assert changed["historical"]  # nobody did anything: nobody is warned
    assert (await site.user("late"))["deadline"] == day(7)
    assert await versions(site) == {2: 2}


async def test_what_the_pass_writes_leaves_by_the_outbox_of_the_users_partition(site: Site) -> None:
    await site.fold(event("u", START), part=3)
    await site.sweep(day(6), part=3)

    await run(site, await activate(site, 2, STRICT, at=day(6)), now=day(6))

    assert [each.after for each in await site.messages()] == ["new", "churned"]
    parts = await site.owner.fetch("SELECT grp, part FROM outbox ORDER BY id")
    assert {tuple(each) for each in parts} == {(GROUP, 3)}


async def test_nothing_is_written_of_a_user_beyond_the_watermark_of_their_partition(
    site: Site,
) -> None:
    """Their events may wait in the log: the lane writes the rest once it has caught up."""
    await site.fold(event("u", START), watermark=day(3))

    result = await run(site, await activate(site, 2, STRICT, at=day(6)), now=day(6))
    before = await site.history()
    await site.fold(event("u", day(4.5)), watermark=day(6), now=day(6))

    assert result == {"users": 1, "transitions": 0}
    assert before == [(START, "new")]
    assert await site.history() == [(START, "new")]
    await site.sweep(day(7))
    assert await site.history() == [(START, "new"), (day(6.5), "silent")]


async def test_who_waits_for_an_activation_whose_job_was_cancelled_is_asked_about_a_few_at_a_time(
    site: Site,
) -> None:
    """The log is asked for the silences of the policy that was rolled back."""
    await site.fold(*(event(f"u{each}", at) for each in range(120) for at in (START, day(6))))
    mistaken = await activate(site, 2, STRICT, at=day(7))
    undoing = await activate(site, 3, FIRST, at=day(8))
    assert await site.owner.fetchval("SELECT cancel_job($1, 'ann', $2)", mistaken, day(8))

    pages = []
    async with worker(site) as one:
        while (stepped := await one.step(undoing, now=day(8))) and stepped.cursor:
            pages.append(stepped.work)

    assert [each for each in pages if each] == [CHUNK_OF_LOG, 120 - CHUNK_OF_LOG]
    assert await versions(site) == {3: 120}


async def test_users_with_very_many_spans_are_brought_up_a_few_at_a_time(site: Site) -> None:
    """To reckon with all at once would take longer than a transaction may, however often it is tried."""
    often = [START + number * DAY for number in range(MOST_SPANS // 3)]
    await site.fold(*(event(user, at) for user in "abcd" for at in (START, often[-1])))
    await site.owner.execute(
        "UPDATE users SET earlier_spans = $1, span_start = $2 WHERE user_id <> 'b'",
        [at for start in often[:-1] for at in (start, start)],
        often[-1],
    )
    draft_of = await ask(site, PREVIEW, {"version": 2, "against": 1, "at": often[-1].isoformat()})
    await draft(site, 2, STRICT)
    pages = []
    async with worker(site) as one:
        while (stepped := await one.step(draft_of, now=often[-1])) and stepped.cursor:
            pages.append(stepped.work)
    await site.owner.execute("UPDATE policies SET activated_at = $1 WHERE version = 2", often[-1])
    job_id = await ask(site, APPLY, {"version": 2})
    async with worker(site) as one:
        while (stepped := await one.step(job_id, now=often[-1])) and stepped.cursor:
            pages.append(stepped.work)

    assert [each for each in pages if each] == [3, 1, 2, 1, 1]  # there are two policies by then
    assert await versions(site) == {2: 4}


async def test_a_policy_that_changes_nothing_writes_nothing(site: Site) -> None:
    await site.fold(*(event(f"u{number}", day(number / 10)) for number in range(70)))
    await site.sweep(day(10.01))
    told = len(await site.messages())

    result = await run(site, await activate(site, 2, FIRST, at=day(10.01)), now=day(10.01))

    assert result == {"users": 70, "transitions": 0}
    assert len(await site.messages()) == told
    assert await versions(site) == {2: 70}


async def test_a_lane_brings_up_whom_it_touches_before_the_pass_gets_there(site: Site) -> None:
    await site.fold(event("active", START), event("due", START))
    await site.sweep(day(6))
    await activate(site, 2, STRICT, at=day(6))

    await site.fold(event("active", day(6.5)), watermark=day(6.6), now=day(6.6))
    assert await site.history("active") == [
        (START, "new"),
        (day(6), "churned"),
        (day(6.5), "returned"),
    ]
    await site.sweep(day(7))

    # The lane heard of it only as it came to look at the old deadline.
    assert await site.history("due") == [(START, "new"), (day(6), "churned")]
    assert await versions(site) == {2: 2}


async def test_what_a_lane_wrote_without_knowing_of_an_activation_is_put_right(site: Site) -> None:
    await site.fold(event("u", START))
    await site.sweep(day(8))

    await run(site, await activate(site, 2, (14, 14, 30, 7), at=day(6)), now=day(8))

    assert await site.history() == [(START, "new")]
    (retracted,) = [each for each in await site.transitions() if each["retracted_at"]]
    assert (retracted["after"], retracted["retracted_because"]) == (
        "silent",
        "another policy held at that time",
    )
    last = (await site.messages())[-1]
    assert (last.status, last.retracted_because) == ("retracted", retracted["retracted_because"])


async def test_a_lane_that_has_not_heard_of_the_users_policy_begins_anew(site: Site) -> None:
    await site.fold(event("u", START))
    connection = (await site.desk()).connection
    unaware = await PostgresStore(connection).policies()
    await run(site, await activate(site, 2, STRICT, at=day(1)), now=day(1))

    with pytest.raises(PoliciesOutdated):
        async with connection.transaction():
            await sweep_deadlines(
                occasion=Occasion(0, day(9), day(9), DAY, Calendar(ZONE)),
                policies=unaware,
                store=PostgresStore(connection),
                folded_until=PostgresPolicyBook(connection, group=GROUP, topic=TOPIC).watermarks,
            )


async def test_the_pass_waits_for_transactions_that_began_before_the_activation(site: Site) -> None:
    await site.fold(event("u", START))
    lane = (await site.desk()).connection
    async with worker(site) as one:
        async with lane.transaction():
            await lane.execute("SELECT 1 FROM consumer_partition FOR UPDATE")
            job = await activate(site, 2, STRICT, at=day(1))
            waits = [await one.step(job, now=day(1)) for _ in range(3)]
            assert await versions(site) == {1: 1}
        goes_on = [await one.step(job, now=day(1)) for _ in range(2)]

    assert [each.waits for each in waits if each] == [True] * 3
    assert [each.waits for each in goes_on if each] == [False] * 2
    assert await versions(site) == {2: 1}


async def test_a_pass_goes_on_where_another_process_was_killed(site: Site) -> None:
    await site.fold(*(event(f"u{number:02}", START) for number in range(30)))
    await site.sweep(day(6))
    job = await activate(site, 2, STRICT, at=day(6))
    async with worker(site, "dead", rate=10) as dead:
        for _ in range(4):  # takes the fence, sees it end, and does two pieces
            await dead.step(job, now=day(6))
        assert await versions(site) == {1: 10, 2: 20}
        await site.owner.execute("UPDATE jobs SET leased_until = now() - interval '1 second'")

        assert (await run(site, job, now=day(6)))["users"] == 30
        assert await dead.step(job, now=day(6)) is None

    assert await versions(site) == {2: 30}
    assert Counter((await lifecycles(site)).values()) == {"churned": 30}
    assert Counter(each.after for each in await site.messages()) == {"new": 30, "churned": 30}


async def test_a_silence_that_only_the_new_policy_knows_is_found_in_the_event_log(
    site: Site,
) -> None:
    """One span under the old policy: its gap of four days is a churn under the new one."""
    await site.fold(event("u", START), event("u", day(4)), event("steady", START))
    await site.fold(*(event("steady", day(number / 2)) for number in range(1, 10)))
    await site.sweep(day(4.9))
    thresholds = (1, 1, 3, 20)

    await run(site, await activate(site, 2, thresholds, at=day(4.9)), now=day(4.9))

    assert await lifecycles(site) == {"u": "returned", "steady": "active"}
    row = await site.user("u")
    assert (row["span_start"], row["earlier_spans"]) == (day(4), [START, START])
    assert (await site.user("steady"))["earlier_spans"] == []


async def test_what_was_done_under_an_id_that_became_the_users_is_no_silence(site: Site) -> None:
    """Only together they were never away for longer than a day."""
    await site.fold(*(event("anon", day(number)) for number in (0, 2, 4)))
    await site.fold(*(event("u", day(number)) for number in (1, 3, 5)))
    known = {"type": EventType.IDENTIFY, "anonymous_id": "anon", "event_id": "who"}
    await site.fold(event("u", day(5), **known))
    await site.sweep(day(5.5))

    await run(site, await activate(site, 2, (1, 1.5, 3, 20), at=day(5.5)), now=day(5.5))

    row = await site.user("u")
    assert (row["first_seen"], row["span_start"], row["earlier_spans"]) == (START, START, [])
    assert await lifecycles(site) == {"u": "active"}
    assert (await site.user("anon"))["policy_version"] == 1  # it is no user any more


async def test_a_month_that_is_missing_is_made_for_the_pass(site: Site) -> None:
    await site.fold(event("u", START))
    await site.sweep(day(6))
    at = day(6)
    await site.owner.execute("DROP TABLE transitions_2026_01")
    site.room.forget()
    job = await activate(site, 2, STRICT, at=at)

    async with worker(site) as one:
        for _ in range(2):
            await one.step(job, now=at)
        with pytest.raises(NoRoomYet):
            await one.step(job, now=at)
        await one.step(job, now=at)

    assert (at, "churned") in await site.history()


async def test_a_preview_says_what_then_happens(site: Site) -> None:
    for number in range(40):
        await site.fold(event(f"u{number:02}", day(number)))
    await site.fold(*(event(f"u{number:02}", day(41)) for number in range(0, 20, 4)))
    await site.sweep(day(42.3))
    await draft(site, 2, (10, 3, 12, 20))
    argument = {"version": 2, "against": 1, "at": day(42.3).isoformat()}
    before = await lifecycles(site)

    preview = await run(site, await ask(site, PREVIEW, argument), now=day(42.3))
    assert await lifecycles(site) == before
    await site.owner.execute("UPDATE policies SET activated_at = $1 WHERE version = 2", day(42.3))
    result = await run(site, await ask(site, APPLY, {"version": 2}), now=day(42.3))

    after = await lifecycles(site)
    moves = Counter((before[each], after[each]) for each in before)
    assert {(c["before"], c["after"]): c["users"] for c in preview["cells"]} == moves
    assert (preview["users"], preview["changed"]) == (40, result["transitions"])
    assert preview["changed"] > 10
    for cell in preview["cells"]:
        assert len(cell["sample"]) == min(20, cell["users"])
        assert {(before[each], after[each]) for each in cell["sample"]} == {
            (cell["before"], cell["after"])
        }


async def test_a_preview_looks_into_the_log_as_the_pass_will(site: Site) -> None:
    await site.fold(event("u", START), event("u", day(4)))
    await site.sweep(day(4.9))
    await draft(site, 2, (1, 1, 3, 20))
    argument = {"version": 2, "against": 1, "at": day(4.9).isoformat()}

    preview = await run(site, await ask(site, PREVIEW, argument), now=day(5))

    assert preview["cells"] == [{"before": "new", "after": "returned", "users": 1, "sample": ["u"]}]


async def test_a_preview_that_another_activation_overtakes_fails_and_says_so(site: Site) -> None:
    await site.fold(event("u", START))
    await draft(site, 2, STRICT)
    job = await ask(site, PREVIEW, {"version": 2, "against": 1, "at": day(6).isoformat()})
    async with worker(site) as one:
        await one.step(job, now=day(6))
        await activate(site, 3, FIRST, at=day(6))
        with pytest.raises(Exception, match="activated meanwhile"):
            await one.step(job, now=day(6))

    row = await site.owner.fetchrow("SELECT * FROM jobs WHERE job_id = $1", job)
    assert row["state"] == "failed"
    assert "version 3 was activated meanwhile" in row["error"]


async def test_two_policies_one_after_the_other_end_as_if_each_had_been_applied(site: Site) -> None:
    await site.fold(event("u", START))
    await site.sweep(day(6))
    first = await activate(site, 2, STRICT, at=day(6))
    second = await activate(site, 3, FIRST, at=day(6) + timedelta(hours=1))
    await site.sweep(day(6.5))

    for job in (first, second):
        await run(site, job, now=day(6.5))

    assert await site.history() == [
        (START, "new"),
        (day(6), "churned"),
        (day(6) + timedelta(hours=1), "new"),
    ]
    assert await versions(site) == {3: 1}


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE policies SET activated_at = '2026-06-01' WHERE version = 2",
        "UPDATE policies SET activated_at = NULL WHERE version = 2",
        "UPDATE policies SET activated_at = '2026-01-01' WHERE version = 3",
        "INSERT INTO policies VALUES (0, '1 day', '1 day', '2 days', '1 day', 'x', now(), '2030-01-01')",
    ],
)
async def test_the_database_itself_keeps_activations_in_order(site: Site, statement: str) -> None:
    await activate(site, 2, STRICT, at=day(6))
    await draft(site, 3, FIRST)

    with pytest.raises(
        Exception, match=r"policy . (was activated already|is not activated in order)"
    ):
        await site.owner.execute(statement)
