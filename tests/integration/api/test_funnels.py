"""Funnels over HTTP: defined, refused with a reason, shown, and deleted."""

import asyncio
import json
from datetime import date, timedelta
from typing import Any

import asyncpg
import httpx
import pytest

from tests.integration.api.rows import NOON, Rows, connected
from tests.integration.api.site import Site
from tests.servers import Database

pytestmark = pytest.mark.postgres

DAY = timedelta(days=1)
FIRST = date(2026, 3, 1)
CHECKOUT: dict[str, Any] = {
    "name": "checkout",
    "steps": [
        {"event": "Product Viewed"},
        {
            "event": "Order Completed",
            "type": "track",
            "conditions": [{"property": "plan", "equals": "pro"}],
        },
    ],
    "window_s": 86_400,
}


async def define(api: Site, **changed: Any) -> httpx.Response:
    return await api.client.post("/v1/funnels", json=CHECKOUT | changed)


async def test_a_funnel_that_is_defined_is_shown_and_waits_for_its_back_fill(api: Site) -> None:
    answer = await define(api)

    made = answer.json()
    assert answer.status_code == 201
    assert answer.headers["location"] == f"/v1/funnels/{made['funnel_id']}"
    assert made == {
        "funnel_id": made["funnel_id"],
        "name": "checkout",
        "steps": [
            {"event": "Product Viewed", "type": None, "conditions": []},
            CHECKOUT["steps"][1],
        ],
        "window_s": 86_400,
        "state": "backfilling",
        "progress": {"percent": 0.0, "pages": None, "pages_done": 0},
        "created_at": "2026-03-01T12:00:00Z",
        "held_since": None,
        "truncated_users": 0,
    }
    one = await api.get(f"/v1/funnels/{made['funnel_id']}")
    several = await api.get("/v1/funnels")
    assert one.items() >= made.items()
    assert several["funnels"] == [made]


async def test_a_window_may_be_written_with_a_point(api: Site) -> None:
    made = (await define(api, window_s=60.0)).json()

    assert (made["window_s"], type(made["window_s"])) == (60, int)


async def test_whoever_counts_learns_of_every_change(api: Site, database: Database) -> None:
    async with connected(database.segmenter) as segmenter:
        versions = [await segmenter.fetchval("SELECT version FROM funnels_version")]
        made = (await define(api)).json()
        versions.append(await segmenter.fetchval("SELECT version FROM funnels_version"))
        await api.client.delete(f"/v1/funnels/{made['funnel_id']}")
        versions.append(await segmenter.fetchval("SELECT version FROM funnels_version"))

    assert len(set(versions)) == 3


async def test_the_work_in_the_background_is_asked_for_with_the_change(
    api: Site, database: Database
) -> None:
    funnel = (await define(api)).json()["funnel_id"]
    await define(api)
    await api.client.delete(f"/v1/funnels/{funnel}")
    await api.client.delete(f"/v1/funnels/{funnel}")

    async with connected(database.segmenter) as segmenter:
        jobs = await segmenter.fetch(
            "SELECT kind, argument ->> 'funnel_id' AS id, requested_by, state FROM jobs"
        )

    assert {tuple(job) for job in jobs} == {
        ("backfill_funnel", str(funnel), "tests", "waiting"),
        ("delete_funnel", str(funnel), "tests", "waiting"),
    }
    assert len(jobs) == 2


ONE_STEP = CHECKOUT["steps"][:1]
REFUSED: list[tuple[dict[str, Any], str, str]] = [
    ({"name": ""}, "name", "at least 1 character"),
    ({"name": "  "}, "name", "is blank"),
    ({"name": "x" * 201}, "name", "at most 200 characters"),
    ({"name": "a\x00b"}, "name", "U+0000"),
    ({"name": 7}, "name", "valid string"),
    ({"steps": ONE_STEP}, "steps", "at least 2 items"),
    ({"steps": ONE_STEP * 11}, "steps", "at most 10 items"),
    ({"steps": "Viewed"}, "steps", "valid array"),
    ({"steps": [*ONE_STEP, {"event": ""}]}, "steps[1].event", "at least 1 character"),
    ({"steps": [*ONE_STEP, {}]}, "steps[1].event", "required"),
    ({"steps": [*ONE_STEP, {"event": "x", "typ": "track"}]}, "steps[1].typ", "not permitted"),
    ({"steps": [*ONE_STEP, {"event": "x", "type": "click"}]}, "steps[1].type", "'track'"),
    ({"window_s": 59}, "window_s", "greater than or equal to 60"),
    ({"window_s": 7_776_001}, "window_s", "less than or equal to 7776000"),
    ({"window_s": "1 day"}, "window_s", "valid integer"),
    ({"window_s": 60.5}, "window_s", "valid integer"),
    ({"window_s": True}, "window_s", "valid integer"),
    ({"widow_s": 60}, "widow_s", "not permitted"),
]


@pytest.mark.parametrize(("changed", "field", "reason"), REFUSED)
async def test_a_definition_that_makes_no_sense_is_refused_with_field_and_reason(
    api: Site, changed: dict[str, Any], field: str, reason: str
) -> None:
    answer = await define(api, **changed)

    problem = answer.json()
    assert answer.status_code == 400, problem
    assert (problem["code"], problem["field"]) == ("invalid_field", field)
    assert reason in problem["detail"]
    assert (await api.get("/v1/funnels"))["funnels"] == []


@pytest.mark.parametrize(
    ("conditions", "field", "reason"),
    [
        ([{"property": "p", "equals": None}], "[0].equals", "a text, a number, true or false"),
        ([{"property": "p", "equals": ["x"]}], "[0].equals", "a text, a number, true or false"),
        ([{"property": "p", "equals": 2**60}], "[0].equals", "between -2^53 and 2^53"),
        ([{"property": "p", "equals": "x" * 1_001}], "[0].equals", "more than 1000 characters"),
        ([{"property": "", "equals": 1}], "[0].property", "at least 1 character"),
        ([{"property": "p", "equals": 1}] * 2, "", "names a property twice"),
        ([{"property": str(each), "equals": 1} for each in range(4)], "", "at most 3 items"),
    ],
)
async def test_a_condition_that_makes_no_sense_is_refused_with_field_and_reason(
    api: Site, conditions: list[dict[str, Any]], field: str, reason: str
) -> None:
    answer = await define(api, steps=[*ONE_STEP, {"event": "x", "conditions": conditions}])

    problem = answer.json()
    assert answer.status_code == 400
    assert problem["field"] == f"steps[1].conditions{field}"
    assert reason in problem["detail"]


@pytest.mark.parametrize("value", ["pro", "", 7, 7.5, -1, True, False, "1"])
async def test_a_value_is_kept_as_it_was_given(api: Site, value: object) -> None:
    conditions = [{"property": "p", "equals": value}]

    made = (await define(api, steps=[*ONE_STEP, {"event": "x", "conditions": conditions}])).json()

    kept = made["steps"][1]["conditions"][0]["equals"]
    assert (type(kept), kept) == (type(value), value)


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", "invalid_json"),
        (b"{", "invalid_json"),
        (b"\xff", "invalid_json"),
        (b"NaN", "invalid_json"),
        (b"-Infinity", "invalid_json"),
        (b'{"window_s": NaN}', "invalid_json"),
        (b'{"window_s": 1e999}', "invalid_field"),
        (b"[" * 60_000, "invalid_json"),
        (b"[]", "invalid_field"),
        (b"null", "invalid_field"),
        (b'{"name": "\\ud800"}', "invalid_json"),
    ],
)
async def test_a_body_that_is_no_definition_is_refused(api: Site, body: bytes, code: str) -> None:
    answer = await api.client.post("/v1/funnels", content=body)

    assert answer.status_code == 400
    assert answer.json()["code"] == code


async def test_a_body_without_end_is_not_read_to_its_end(api: Site) -> None:
    sent = 0

    async def pieces() -> Any:
        nonlocal sent
        while True:
            sent += 1
            yield b" " * 10_000

    answer = await api.client.post("/v1/funnels", content=pieces())

    assert answer.status_code == 413
    assert answer.json()["code"] == "body_too_large"
    assert sent < 20


async def test_a_name_is_taken_once_until_its_funnel_is_deleted(api: Site) -> None:
    first = (await define(api)).json()
    again = await define(api)
    deleted = await api.client.delete(f"/v1/funnels/{first['funnel_id']}")
    after = await define(api)

    assert (again.status_code, again.json()["code"]) == (409, "funnel_name_taken")
    assert again.json()["field"] == "name"
    assert deleted.status_code == 202
    assert deleted.json() == {"funnel_id": first["funnel_id"], "state": "deleting"}
    assert after.status_code == 201
    assert after.json()["funnel_id"] != first["funnel_id"]


async def test_there_are_fifty_funnels_at_most_however_many_are_defined_at_once(api: Site) -> None:
    answers = await asyncio.gather(*(define(api, name=str(number)) for number in range(53)))

    codes = sorted(answer.status_code for answer in answers)
    assert codes == [201] * 50 + [409] * 3
    assert {answer.json().get("code") for answer in answers} == {None, "too_many_funnels"}


async def test_a_funnel_that_was_deleted_is_not_known_any_more(api: Site) -> None:
    path = f"/v1/funnels/{(await define(api)).json()['funnel_id']}"
    await api.client.delete(path)

    assert (await api.refused(path))["code"] == "unknown_funnel"
    assert (await api.refused(f"{path}/conversions"))["code"] == "unknown_funnel"
    assert (await api.client.delete(path)).json()["code"] == "unknown_funnel"
    assert (await api.get("/v1/funnels"))["funnels"] == []


async def test_conversions_are_summed_over_the_shards_with_their_rates(
    api: Site, rows: Rows
) -> None:
    funnel = await rows.funnel()
    await rows.entered(funnel, FIRST, 5, -1)
    await rows.entered(funnel, FIRST, 3, 3, shard=8)
    await rows.entered(funnel, FIRST + DAY, 2)
    await rows.entered(await rows.funnel(name="another"), FIRST, 100, 100)

    body = await api.get(f"/v1/funnels/{funnel}/conversions")

    first, second = body["days"]
    assert first == {
        "day": "2026-03-01",
        "entered": 8,
        "reached": [
            {"step": 1, "event": "Viewed", "users": 8, "rate": 1.0, "step_rate": 1.0},
            {"step": 2, "event": "Ordered", "users": 2, "rate": 0.25, "step_rate": 0.25},
        ],
    }
    assert (second["day"], second["entered"], second["reached"][1]["rate"]) == (
        "2026-03-02",
        2,
        0.0,
    )
    assert body["total"]["entered"] == 10
    assert body["total"]["reached"][1]["rate"] == 0.2


async def test_a_day_that_nobody_is_left_in_is_not_shown(api: Site, rows: Rows) -> None:
    funnel = await rows.funnel()
    await rows.entered(funnel, FIRST, 1, shard=0)
    await rows.entered(funnel, FIRST, -1, shard=3)

    body = await api.get(f"/v1/funnels/{funnel}/conversions")

    assert body["days"] == []
    assert body["total"]["reached"][0]["rate"] is None


async def test_days_are_those_from_the_first_and_before_the_last(api: Site, rows: Rows) -> None:
    funnel = await rows.funnel()
    for number in range(40):
        await rows.entered(funnel, FIRST + number * DAY, 1)
    path = f"/v1/funnels/{funnel}/conversions"

    async def shown(**asked: str) -> tuple[str, str, int]:
        days = [each["day"] for each in (await api.get(path, **asked))["days"]]
        return days[0], days[-1], len(days)

    assert await shown(**{"from": "2026-03-03", "to": "2026-03-05"}) == (
        "2026-03-03",
        "2026-03-04",
        2,
    )
    assert await shown() == ("2026-03-11", "2026-04-09", 30)
    assert await shown(to="2026-04-05") == ("2026-03-06", "2026-04-04", 30)
    assert await shown(**{"from": "2026-04-01"}) == ("2026-04-01", "2026-04-09", 9)
    assert await shown(**{"from": "20260401"}) == ("2026-04-01", "2026-04-09", 9)
    assert await shown(**{"from": "2025-01-26"}) == ("2026-03-01", "2026-04-09", 40)


@pytest.mark.parametrize(
    ("asked", "field", "reason"),
    [
        ({"from": "yesterday"}, "from", "is not a date such as 2026-11-24"),
        ({"from": "0"}, "from", "is not a date"),
        ({"from": "86400", "to": "172800"}, "from", "is not a date"),
        ({"to": "1772323200"}, "to", "is not a date"),
        ({"to": "2026-02-30"}, "to", "is not a date"),
        ({"to": "0001-01-02"}, "to", "outside the years 1970 to 2199"),
        ({"from": "2026-03-02", "to": "2026-03-02"}, "to", "must lie after from"),
        ({"from": "2026-03-02", "to": "2028-03-02"}, "to", "more than 400 days"),
        ({"from": "2025-01-25"}, "from", "more than 400 days"),  # the 401st with today
        ({"since": "2026-03-02"}, "since", "not permitted"),
    ],
)
async def test_days_that_make_no_sense_are_refused(
    api: Site, rows: Rows, asked: dict[str, str], field: str, reason: str
) -> None:
    problem = await api.refused(f"/v1/funnels/{await rows.funnel()}/conversions", **asked)

    assert reason in problem["detail"]
    assert (problem["code"], problem["field"]) == ("invalid_parameter", field)


@pytest.mark.parametrize(
    ("given", "progress"),
    [
        ({"pages": None}, {"percent": 0.0, "pages": None, "pages_done": 0}),
        ({"pages": 8, "pages_done": 3}, {"percent": 37.5, "pages": 8, "pages_done": 3}),
        ({"pages": 8, "pages_done": 8}, {"percent": 99.9, "pages": 8, "pages_done": 8}),
        ({"pages": 0, "state": "live"}, {"percent": 100.0, "pages": 0, "pages_done": 0}),
    ],
)
async def test_the_progress_of_a_back_fill_is_shown(
    api: Site, rows: Rows, given: dict[str, Any], progress: dict[str, Any]
) -> None:
    funnel = await rows.funnel(**{"state": "backfilling"} | given)

    assert (await api.get(f"/v1/funnels/{funnel}"))["progress"] == progress
    assert (await api.get(f"/v1/funnels/{funnel}/conversions"))["progress"] == progress


async def test_users_whose_numbers_are_a_least_are_told(api: Site, database: Database) -> None:
    funnel = (await define(api)).json()["funnel_id"]
    async with connected(database.owner) as owner:
        await owner.executemany(
            "INSERT INTO funnel_users (funnel_id, user_id, marks, truncated) VALUES ($1, $2, '', $3)",
            [(funnel, "ann", True), (funnel, "bob", True), (funnel, "cy", False)],
        )

    assert (await api.get(f"/v1/funnels/{funnel}"))["truncated_users"] == 2


async def test_the_role_of_the_api_sees_nobodys_marks(database: Database) -> None:
    async with connected(database.api) as connection:
        for statement in (
            "SELECT marks FROM funnel_users",
            "SELECT user_id FROM funnel_users",
            "DELETE FROM funnel_users",
            "UPDATE funnel_counts SET users = 0",
            "UPDATE funnels SET steps = '[]'",
            "DELETE FROM funnels",
        ):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await connection.execute(statement)


async def test_a_definition_is_stored_as_whoever_counts_reads_it(
    api: Site, database: Database
) -> None:
    await define(api)

    async with connected(database.segmenter) as segmenter:
        stored = await segmenter.fetchrow("SELECT steps, window_s, created_at FROM funnels")

    assert json.loads(stored["steps"])[1] == CHECKOUT["steps"][1]
    assert (stored["window_s"], stored["created_at"]) == (86_400, NOON)
