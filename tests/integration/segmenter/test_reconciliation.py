"""Users and cells recounted from the log: all as stored, and whatever is changed by hand is found."""

import random
from collections.abc import AsyncIterator
from datetime import datetime, timedelta

import msgspec
import pytest
import pytest_asyncio
from prometheus_client import CollectorRegistry

from services.segmenter.domain.calendar import Calendar
from services.segmenter.inbound.reconciler import Pace, Reconciler
from services.segmenter.outbound import recounting
from services.segmenter.outbound.recounting import Reconciliations
from services.segmenter.usecases.reconcile import Report, reconcile
from shared.contracts.events import EventEnvelope
from shared.database import session
from shared.database.connection import Connection
from shared.observability.metrics import Metrics
from shared.vocabulary import EventType
from tests.integration.segmenter.kit import ZONE, Site, day, event
from tests.servers import Database

pytestmark = pytest.mark.postgres

CALENDAR = Calendar(ZONE)
NOW = day(60)
MANY = 1_000


class StandingClock:
    def now(self) -> datetime:
        return NOW


@pytest_asyncio.fixture
async def connection(database: Database) -> AsyncIterator[Connection]:
    made = await session.connect(database.segmenter, worker="test")
    try:
        yield made
    finally:
        await made.close()


def traffic(chance: random.Random, *, users: int, events: int) -> list[EventEnvelope]:
    """Return what users did over some weeks, from a few channels, in any order."""
    return [
        event(
            f"u{chance.randrange(users)}",
            day(chance.randrange(50 * 24) / 24),
            event_id=str(number),
            active=chance.random() > 0.1,
            payload=msgspec.Raw(
                msgspec.json.encode(
                    {"context": {"campaign": {"source": chance.choice(("ads", "mail", ""))}}}
                )
            ),
        )
        for number in range(events)
    ]


async def fold(site: Site, events: list[EventEnvelope], *, size: int = 40) -> None:
    for start in range(0, len(events), size):
        batch = events[start : start + size]
        await site.fold(*batch, part=start // size % 3, now=NOW)
    for part in range(3):
        await site.sweep(day(55), part=part, now=NOW)


async def recounted(connection: Connection) -> Report:
    async with Reconciliations(connection).evidence() as evidence:
        return await reconcile(evidence, users=MANY, calendar=CALENDAR, now=NOW)


@pytest.mark.parametrize("seed", range(4))
async def test_whatever_came_in_whatever_order_is_stored_as_it_is_recounted(
    site: Site, connection: Connection, seed: int
) -> None:
    await fold(site, traffic(random.Random(seed), users=15, events=240))

    reports = [await recounted(connection) for _ in range(10)]

    assert [each for report in reports for each in report.differences] == []
    assert {report.users_checked for report in reports} == {await site.count("users")}
    assert all(report.cells_checked > 0 for report in reports)


@pytest.mark.parametrize("seed", range(3))
async def test_users_of_several_ids_are_recounted_as_one(
    site: Site, connection: Connection, seed: int
) -> None:
    chance = random.Random(seed)
    claims = [
        event(
            f"u{chance.randrange(6)}",
            day(chance.randrange(50)),
            event_id=f"claim-{number}",
            type=EventType.IDENTIFY,
            anonymous_id=f"u{6 + chance.randrange(6)}",
        )
        for number in range(5)
    ]
    events = [*traffic(chance, users=12, events=120), *claims]
    chance.shuffle(events)

    await fold(site, events)

    reports = [await recounted(connection) for _ in range(5)]
    merged = await site.owner.fetchval("SELECT count(*) FROM users WHERE merged_into > ''")
    assert merged > 0
    assert [each for report in reports for each in report.differences] == []
    assert {report.users_checked for report in reports} == {await site.count("users") - merged}


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ("event_count = event_count + 1", "event_count"),
        ("channel = 'elsewhere'", "channel"),
        ("days = days || '\\x01'", "days"),
        ("days = NULL, first_day = NULL", "days"),
        ("span_start = last_seen", "spans"),
        ("deadline = deadline + interval '1 second'", "deadline"),
        ("lifecycle = 'churned'", "lifecycle"),
    ],
)
async def test_a_user_who_was_changed_by_hand_differs_in_that(
    site: Site, connection: Connection, change: str, field: str
) -> None:
    await site.fold(event("ada", day(0)), event("ada", day(1)), event("bob", day(0)), now=NOW)

    await site.owner.execute(f"UPDATE users SET {change} WHERE user_id = 'ada'")  # noqa: S608
    report = await recounted(connection)

    found = [each for each in report.differences if each.kind == "user"]
    assert (report.users_checked, report.users_differing) == (2, 1)
    assert [(each.subject, each.field) for each in found] == [("ada", field)]


COPY_TRANSITIONS = """
INSERT INTO transitions
SELECT gen_random_uuid(), at, user_id, kind, before, after, recorded_at, reason, policy_version,
       historical, evidence
FROM transitions
"""


@pytest.mark.parametrize(
    ("change", "kinds"),
    [
        ("DELETE FROM transitions", ["user", "lifecycle_flows"]),
        ("UPDATE transitions SET retracted_at = now()", ["user", "lifecycle_flows"]),
        (COPY_TRANSITIONS, ["user", "lifecycle_flows"]),
        ("UPDATE transitions SET at = at + interval '1 second'", ["user"]),
    ],
    ids=["lost", "retracted", "doubled", "moved within its hour"],
)
async def test_a_history_that_was_changed_by_hand_differs(
    site: Site, connection: Connection, change: str, kinds: list[str]
) -> None:
    await site.fold(event("ada", day(0)), now=NOW)

    await site.owner.execute(change)
    report = await recounted(connection)

    assert list(dict.fromkeys(each.kind for each in report.differences)) == kinds
    assert report.differences[0].field == "transitions"


async def test_an_event_that_is_missing_in_the_log_is_found(
    site: Site, connection: Connection
) -> None:
    await site.fold(event("ada", day(0)), event("ada", day(3)), now=NOW)

    await site.owner.execute('DELETE FROM events WHERE "timestamp" = $1', day(3))
    report = await recounted(connection)

    fields = {each.field for each in report.differences if each.kind == "user"}
    assert {"event_count", "days", "spans"} <= fields


@pytest.mark.parametrize(
    ("table", "period", "field", "subject"),
    [
        ("active_users", "day", "users", "day 2026-01-05 all="),
        ("active_users", "week", "users", "week 2026-01-05 all="),
        ("active_users", "month", "users", "month 2026-01-01 all="),
        ("active_users", "day", "new_users", "day 2026-01-05 all="),
        ("active_users", "week", "new_users", "week 2026-01-05 all="),
        ("active_users", "month", "new_users", "month 2026-01-01 all="),
        ("retention", "week", "users", "week 2026-01-05 age=0 all="),
    ],
)
async def test_a_cell_that_was_changed_by_hand_differs(
    site: Site, connection: Connection, table: str, period: str, field: str, subject: str
) -> None:
    await site.fold(event("ada", day(0)), now=NOW)

    await site.owner.execute(
        f"UPDATE {table} SET {field} = {field} + 1 WHERE dimension = 'all' AND period = $1",  # noqa: S608
        period,
    )
    report = await recounted(connection)

    [found] = report.differences
    assert (found.kind, found.field, found.stored, found.recounted) == (table, field, "2", "1")
    assert found.subject == subject
    assert report.users_differing == 0


async def test_an_hour_s_flows_that_were_changed_by_hand_differ_and_so_does_their_month(
    site: Site, connection: Connection
) -> None:
    await site.fold(event("ada", day(0)), now=NOW)

    await site.owner.execute(
        "UPDATE lifecycle_flows SET transitions = transitions + 1 WHERE dimension = 'all'"
    )
    report = await recounted(connection)

    by_hour, by_month = report.differences
    assert (by_hour.kind, by_hour.stored, by_hour.recounted) == ("lifecycle_flows", "2", "1")
    assert (by_month.kind, by_month.stored, by_month.recounted) == ("lifecycle_flows", "1", "2")
    assert by_month.subject.startswith("month 2026-01-01 ")


async def test_a_month_s_flows_that_are_missing_differ(site: Site, connection: Connection) -> None:
    await site.fold(event("ada", day(0)), now=NOW)

    await site.owner.execute("DELETE FROM lifecycle_flow_months WHERE dimension = 'channel'")
    report = await recounted(connection)

    [found] = report.differences
    assert (found.stored, found.recounted) == ("0", "1")
    assert found.subject.startswith("month 2026-01-01 channel=unknown")


async def test_a_cohort_that_was_changed_by_hand_differs(
    site: Site, connection: Connection
) -> None:
    await site.fold(event("ada", day(0)), now=NOW)

    await site.owner.execute("DELETE FROM retention WHERE dimension = 'channel' AND period = 'day'")
    report = await recounted(connection)

    [found] = report.differences
    assert (found.kind, found.stored, found.recounted) == ("retention", "0", "1")
    assert found.subject == "day 2026-01-05 age=0 channel=unknown"


async def test_users_of_whom_the_log_has_lost_a_part_are_skipped(
    site: Site, connection: Connection
) -> None:
    await site.fold(event("old", day(0)), event("new", day(10)), now=NOW)
    await site.owner.execute("INSERT INTO log_horizon VALUES (true, $1, now())", day(5))

    report = await recounted(connection)

    assert (report.users_checked, report.users_skipped, report.users_differing) == (1, 1, 0)


async def test_a_run_is_kept_with_what_it_found_and_counted(site: Site) -> None:
    await site.fold(event("ada", day(0)), event("bob", day(0)), now=NOW)
    await site.owner.execute("UPDATE users SET event_count = 7 WHERE user_id = 'ada'")
    registry = CollectorRegistry()
    part = reconciler(site.database, Metrics(registry))

    report = await part.beat()

    assert report is not None
    [run] = await site.owner.fetch("SELECT * FROM reconciliations")
    [found] = await site.owner.fetch("SELECT * FROM reconciliation_differences")
    assert (run["at"], run["users_checked"], run["users_differing"]) == (NOW, 2, 1)
    assert (found["reconciliation_id"], found["subject"], found["field"]) == (
        run["reconciliation_id"],
        "ada",
        "event_count",
    )
    assert (found["stored"], found["recounted"]) == ("7", "1")
    counted = {
        outcome: registry.get_sample_value(
            "ebbtide_reconciled_total", {"what": "user", "outcome": outcome}
        )
        for outcome in ("same", "differs", "skipped")
    }
    assert counted == {"same": 1, "differs": 1, "skipped": 0}


async def test_one_process_recounts_at_a_time(site: Site) -> None:
    await site.fold(event("ada", day(0)), now=NOW)
    async with recounting.opened(site.database.segmenter, worker="first") as first:
        assert first is not None

        assert await reconciler(site.database, Metrics(CollectorRegistry())).beat() is None

    assert await reconciler(site.database, Metrics(CollectorRegistry())).beat() is not None


async def test_what_is_folded_meanwhile_is_no_difference(
    site: Site, connection: Connection
) -> None:
    """The snapshot begins before the batch and reads on after it."""
    await site.fold(event("ada", day(0)), now=NOW)

    async with Reconciliations(connection).evidence() as evidence:
        await evidence.policies()
        await site.fold(event("ada", day(1)), event("bob", day(1)), now=NOW)
        report = await reconcile(evidence, users=MANY, calendar=CALENDAR, now=NOW)

    assert (report.users_checked, report.differences) == (1, [])


def reconciler(database: Database, metrics: Metrics) -> Reconciler:
    return Reconciler(
        book=lambda: recounting.opened(database.segmenter, worker="recounts"),
        calendar=CALENDAR,
        clock=StandingClock(),
        pace=Pace(every_s=timedelta(minutes=5).total_seconds(), users=MANY),
        metrics=metrics,
    )
