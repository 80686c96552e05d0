"""Activity, retention and flows over HTTP: exact, whole, and never of the future."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import pytest_asyncio

from services.segmenter.domain.origin import Origin
from shared.database import session
from shared.vocabulary import Lifecycle
from tests.integration.api.counted import CountedUsers
from tests.integration.api.rows import NOON
from tests.integration.api.site import Site
from tests.servers import Database

pytestmark = pytest.mark.postgres

DAY = timedelta(days=1)
HOUR = timedelta(hours=1)
WECHAT, MAIL = Origin("wechat", "ios"), Origin("mail", "web")
# NOON is on Sunday, 2026-03-01.


@pytest_asyncio.fixture
async def users(database: Database) -> AsyncIterator[CountedUsers]:
    connection = await session.connect(database.segmenter, worker="test")
    try:
        yield CountedUsers(connection)
    finally:
        await connection.close()


@pytest_asyncio.fixture
async def berliners(database: Database) -> AsyncIterator[CountedUsers]:
    connection = await session.connect(database.segmenter, worker="test")
    try:
        made = CountedUsers(connection, "Europe/Berlin")
        await made.settle()
        yield made
    finally:
        await connection.close()


def numbers(group: dict[str, Any]) -> list[tuple[int, int, int]]:
    return [(each["users"], each["new"], each["returning"]) for each in group["periods"]]


async def test_active_users_are_new_or_returning_and_quiet_days_are_zeros(
    api: Site, users: CountedUsers
) -> None:
    await users.was_active([NOON - 3 * DAY, NOON - DAY])
    await users.was_active([NOON - 3 * DAY])
    await users.was_active([NOON])

    found = await api.get("/v1/activity", **{"from": "2026-02-26"})

    [group] = found["groups"]
    assert group["value"] is None
    assert [each["start"] for each in group["periods"]] == [
        "2026-02-26",
        "2026-02-27",
        "2026-02-28",
        "2026-03-01",
    ]
    assert numbers(group) == [(2, 2, 0), (0, 0, 0), (1, 0, 1), (1, 1, 0)]
    assert [each["complete"] for each in group["periods"]] == [True, True, True, False]
    assert (found["zone"], found["next_cursor"]) == ("UTC", None)


@pytest.mark.parametrize(
    ("period", "starts", "expected"),
    [
        ("week", ["2026-02-16", "2026-02-23"], [(2, 2, 0), (1, 0, 1)]),
        ("month", ["2026-02-01", "2026-03-01"], [(2, 2, 0), (1, 0, 1)]),
    ],
)
async def test_a_user_counts_once_in_a_week_and_a_month(
    api: Site, users: CountedUsers, period: str, starts: list[str], expected: list[Any]
) -> None:
    await users.was_active([NOON - 10 * DAY, NOON - 9 * DAY, NOON])
    await users.was_active([NOON - 10 * DAY])

    found = await api.get("/v1/activity", period=period, **{"from": "2026-02-18"})

    [group] = found["groups"]
    assert [each["start"] for each in group["periods"]] == starts
    assert numbers(group) == expected


async def test_days_are_those_of_the_products_zone(api: Site, berliners: CountedUsers) -> None:
    await berliners.was_active([datetime(2026, 2, 27, 23, 30, tzinfo=UTC)])
    api.clock.at = datetime(2026, 2, 28, 23, 30, tzinfo=UTC)

    found = await api.get("/v1/activity", **{"from": "2026-02-27"})

    [group] = found["groups"]
    assert found["zone"] == "Europe/Berlin"
    assert [(each["start"], each["users"]) for each in group["periods"]] == [
        ("2026-02-27", 0),
        ("2026-02-28", 1),
        ("2026-03-01", 0),
    ]


async def test_groups_come_by_value_in_pages_and_are_together_the_whole(
    api: Site, users: CountedUsers
) -> None:
    for origin, number in ((WECHAT, 3), (MAIL, 2), (Origin(), 1)):
        for _ in range(number):
            await users.was_active([NOON], origin)

    pages = await api.pages("/v1/activity", "groups", by="channel", limit=2)

    shown = [(each["value"], each["periods"][-1]["users"]) for page in pages for each in page]
    assert [len(page) for page in pages] == [2, 1]
    assert shown == [("mail", 2), ("unknown", 1), ("wechat", 3)]


async def test_a_value_that_is_nobodys_in_the_range_is_no_group(
    api: Site, users: CountedUsers
) -> None:
    await users.was_active([NOON - 20 * DAY], MAIL)
    await users.was_active([NOON], WECHAT)

    found = await api.get("/v1/activity", by="platform", **{"from": "2026-02-27"})

    assert [each["value"] for each in found["groups"]] == ["ios"]


async def test_retention_counts_a_cohort_by_age_and_leaves_the_future_out(
    api: Site, users: CountedUsers
) -> None:
    await users.was_active([NOON - 3 * DAY, NOON - 2 * DAY, NOON])
    await users.was_active([NOON - 3 * DAY, NOON])
    await users.was_active([NOON - DAY])

    found = await api.get("/v1/retention", **{"from": "2026-02-26", "to": "2026-03-10"})

    [group] = found["groups"]
    assert group["cohorts"] == [
        {"cohort": "2026-02-26", "users": 2, "ages": [2, 1, 0, 2], "complete": False},
        {"cohort": "2026-02-27", "users": 0, "ages": [0, 0, 0], "complete": False},
        {"cohort": "2026-02-28", "users": 1, "ages": [1, 0], "complete": False},
        {"cohort": "2026-03-01", "users": 0, "ages": [0], "complete": False},
    ]


async def test_retention_by_weeks_and_to_an_age(api: Site, users: CountedUsers) -> None:
    await users.was_active([NOON - 21 * DAY, NOON - 14 * DAY, NOON])

    found = await api.get("/v1/retention", period="week", oldest=1, **{"from": "2026-02-03"})

    [group] = found["groups"]
    assert [(each["cohort"], each["ages"], each["complete"]) for each in group["cohorts"]] == [
        ("2026-02-02", [1, 1], True),
        ("2026-02-09", [0, 0], True),
        ("2026-02-16", [0, 0], False),
        ("2026-02-23", [0], False),
    ]


async def test_retention_of_groups(api: Site, users: CountedUsers) -> None:
    await users.was_active([NOON - DAY, NOON], WECHAT)
    await users.was_active([NOON - DAY], MAIL)

    found = await api.get("/v1/retention", by="platform", **{"from": "2026-02-28"})

    assert [(each["value"], each["cohorts"][0]["ages"]) for each in found["groups"]] == [
        ("ios", [1, 1]),
        ("web", [1, 0]),
    ]


async def test_a_lifecycles_start_and_what_came_less_what_left_is_its_end(
    api: Site, users: CountedUsers
) -> None:
    await users.went((NOON - 90 * DAY, Lifecycle.NEW), (NOON - 83 * DAY, Lifecycle.SILENT))
    await users.went((NOON - 2 * DAY, Lifecycle.NEW), (NOON - HOUR, Lifecycle.ACTIVE))
    await users.went((NOON - DAY, Lifecycle.NEW))
    await users.went((NOON - 5 * HOUR, Lifecycle.CHURNED), since=Lifecycle.SILENT)

    found = await api.get("/v1/flows", **{"from": "2026-02-26"})

    [group] = found["groups"]
    assert [each["day"] for each in group["slots"]] == [
        "2026-02-26",
        "2026-02-27",
        "2026-02-28",
        "2026-03-01",
    ]
    assert [each["flows"] for each in group["slots"][1:]] == [
        [{"before": None, "after": "new", "transitions": 1}],
        [{"before": None, "after": "new", "transitions": 1}],
        [
            {"before": "new", "after": "active", "transitions": 1},
            {"before": "silent", "after": "churned", "transitions": 1},
        ],
    ]
    assert group["slots"][0]["population"]["silent"] == {
        "start": 1, "arrived": 0, "left": 0, "end": 1
    }  # fmt: skip
    assert group["slots"][3]["population"] == {
        "new": {"start": 2, "arrived": 0, "left": 1, "end": 1},
        "active": {"start": 0, "arrived": 1, "left": 0, "end": 1},
        "silent": {"start": 1, "arrived": 0, "left": 1, "end": 0},
        "churned": {"start": 0, "arrived": 1, "left": 0, "end": 1},
        "returned": {"start": 0, "arrived": 0, "left": 0, "end": 0},
    }
    for before, after in zip(group["slots"], group["slots"][1:], strict=False):
        for lifecycle, balance in before["population"].items():
            assert balance["end"] == after["population"][lifecycle]["start"]


async def test_hours_are_those_of_the_local_clock_and_add_up_to_the_day(
    api: Site, berliners: CountedUsers
) -> None:
    change = datetime(2026, 3, 29, 1, tzinfo=UTC)  # from 02:00 to 03:00
    api.clock.at = change + 2 * DAY
    for minutes in (-61, -59, -1, 0, 30, 60, 22 * 60):
        await berliners.went((change + timedelta(minutes=minutes), Lifecycle.NEW), origin=MAIL)
    asked = {"from": "2026-03-29", "to": "2026-03-30"}

    hours = await api.get("/v1/flows", per="hour", by="channel", **asked)
    days = await api.get("/v1/flows", per="day", by="channel", **asked)

    [by_hour], [[day]] = ([group["slots"] for group in found["groups"]] for found in (hours, days))
    arrived = [slot["population"]["new"]["arrived"] for slot in by_hour]
    assert len(by_hour) == 23
    assert arrived == [1, 2, 2, 1, *[0] * 19]
    assert day["population"]["new"] == {"start": 0, "arrived": 6, "left": 0, "end": 6}
    assert day["begin"] == by_hour[0]["begin"] == "2026-03-28T23:00:00Z"


async def test_hours_to_come_are_not_shown(api: Site) -> None:
    found = await api.get("/v1/flows", per="hour", **{"from": "2026-03-01", "to": "2026-03-05"})

    [group] = found["groups"]
    assert [slot["begin"] for slot in group["slots"]] == [
        f"2026-03-01T{hour:02}:00:00Z" for hour in range(13)
    ]


@pytest.mark.parametrize("path", ["/v1/activity", "/v1/retention", "/v1/flows"])
async def test_a_range_that_lies_in_the_future_is_empty(api: Site, path: str) -> None:
    found = await api.get(path, **{"from": "2027-01-01", "to": "2027-01-08"})

    [group] = found["groups"]
    assert [*group.values()] == [None, []]


@pytest.mark.parametrize("path", ["/v1/activity", "/v1/retention", "/v1/flows"])
async def test_without_a_range_the_last_30_days_are_shown(api: Site, path: str) -> None:
    found = await api.get(path)

    [[_, shown]] = [[*group.values()] for group in found["groups"]]
    assert len(shown) == 30


@pytest.mark.parametrize("path", ["/v1/activity", "/v1/retention", "/v1/flows"])
@pytest.mark.parametrize(
    ("given", "field", "reason"),
    [
        ({"from": "2026-03-01", "to": "2026-03-01"}, "to", "must lie after from"),
        ({"from": "2024-01-01", "to": "2026-03-01"}, "to", "more than 400 days"),
        ({"from": "2024-01-01"}, "from", "more than 400 days"),
        ({"from": "2026-03-02"}, "from", "must not lie after today (2026-03-01)"),
        ({"from": "1772323200"}, "from", "is not a date such as 2026-11-24"),
        ({"from": "2026-02-30"}, "from", "is not a date"),
        ({"to": "1969-12-31"}, "to", "outside the years 1970 to 2199"),
        ({"by": "country"}, "by", "'channel' or 'platform'"),
        ({"cursor": "x"}, "cursor", "cursor"),
        ({"limit": 0}, "limit", "greater than or equal to 1"),
        ({"day": "2026-03-01"}, "day", "not permitted"),
    ],
)
async def test_a_question_that_can_not_be_answered_is_refused_by_field_and_reason(
    api: Site, path: str, given: dict[str, Any], field: str, reason: str
) -> None:
    problem = await api.refused(path, **given)

    assert (problem["status"], problem["code"], problem["field"]) == (
        400,
        "invalid_parameter",
        field,
    )
    assert reason in problem["detail"]


@pytest.mark.parametrize(
    ("path", "given", "field"),
    [
        ("/v1/activity", {"by": "channel", "limit": 100, "from": "2025-03-01"}, "limit"),
        ("/v1/retention", {"oldest": 400, "from": "2025-09-01"}, "from"),
        ("/v1/retention", {"oldest": 400, "from": "2025-09-01", "to": "2026-03-01"}, "to"),
        # Fewer groups would not help: one alone has too many.
        (
            "/v1/retention",
            {"by": "channel", "oldest": 400, "from": "2025-09-01", "limit": 1},
            "from",
        ),
        ("/v1/retention", {"period": "week", "oldest": 58}, "oldest"),
        ("/v1/retention", {"period": "month"}, "period"),
        ("/v1/flows", {"per": "hour", "from": "2026-01-01"}, "from"),
        ("/v1/flows", {"per": "hour", "from": "2026-01-01", "to": "2026-02-15"}, "to"),
        ("/v1/flows", {"per": "hour", "from": "2026-03-02"}, "from"),
        ("/v1/flows", {"per": "hour", "by": "channel", "from": "2026-02-15"}, "limit"),
        ("/v1/flows", {"by": "channel", "from": "2026-01-01"}, "limit"),
        ("/v1/flows", {"per": "week"}, "per"),
    ],
)
async def test_an_answer_that_would_be_too_large_is_refused(
    api: Site, path: str, given: dict[str, Any], field: str
) -> None:
    problem = await api.refused(path, **given)

    assert (problem["status"], problem["field"]) == (400, field)


async def test_a_cursor_belongs_to_its_groups(api: Site, users: CountedUsers) -> None:
    await users.was_active([NOON])
    found = await api.get("/v1/activity", by="channel", limit=1)
    cursor = found["next_cursor"]

    for given in ({"by": "platform"}, {}, {"by": "channel", "period": "week"}):
        problem = await api.refused("/v1/activity", cursor=cursor, **given)
        assert problem["field"] == "cursor"
