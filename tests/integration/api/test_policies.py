"""Policies over HTTP: drafted, previewed, activated and rolled back, each refused where it must be."""

import asyncio
import json
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import asyncpg
import httpx
import pytest

from tests.integration.api.rows import NOON, Rows, connected
from tests.integration.api.site import READER, Site
from tests.servers import Database

pytestmark = pytest.mark.postgres

DAY_S = 86_400
FIRST = {
    "new_for_s": 7 * DAY_S,
    "silent_after_s": 7 * DAY_S,
    "churned_after_s": 30 * DAY_S,
    "returned_for_s": 7 * DAY_S,
}
STRICT: dict[str, Any] = FIRST | {"silent_after_s": 3 * DAY_S, "note": "we lose them sooner"}
WHY = {"note": "the weekly meeting agreed"}


async def post(api: Site, path: str, body: Any = None, **params: Any) -> httpx.Response:
    return await api.client.post(path, json=body, params=params)


async def refused(answer: httpx.Response, status: int, code: str) -> dict[str, Any]:
    problem: dict[str, Any] = answer.json()
    assert (answer.status_code, problem["code"]) == (status, code), problem
    return problem


async def draft(api: Site, **changed: Any) -> int:
    answer = await post(api, "/v1/policies", STRICT | changed)
    assert answer.status_code == 201, answer.text
    version: int = answer.json()["version"]
    return version


async def previewed(api: Site, database: Database, version: int, **params: Any) -> str:
    """Have a preview asked for, and done as the segmenter does it; return its id."""
    job = (await post(api, f"/v1/policies/{version}/preview", **params)).json()
    result = {"users": 0, "changed": 0, "cells": []}
    await finish(database, job["job_id"], result, now=api.clock.at)
    job_id: str = job["job_id"]
    return job_id


async def finish(
    database: Database, job_id: str, result: Any, *, now: datetime = NOON, state: str = "done"
) -> None:
    async with connected(database.owner) as owner:
        await owner.execute(
            "UPDATE jobs SET state = $4, result = $2, progress_total = 0, updated_at = $3"
            " WHERE job_id = $1",
            UUID(job_id),
            json.dumps(result),
            now,
            state,
        )


async def test_a_new_system_has_the_first_policy(api: Site) -> None:
    several = await api.get("/v1/policies")

    assert several["active_version"] == 1
    [first] = several["policies"]
    assert (
        first.items() >= (FIRST | {"version": 1, "state": "active", "activated_by": None}).items()
    )
    assert (await api.get("/v1/policies/1")).items() >= first.items()


async def test_a_draft_is_shown_with_who_wrote_it_and_changes_nothing(api: Site) -> None:
    answer = await post(api, "/v1/policies", STRICT)

    made = answer.json()
    assert (answer.status_code, answer.headers["location"]) == (201, "/v1/policies/2")
    assert made == STRICT | {
        "version": 2,
        "state": "draft",
        "created_by": "tests",
        "created_at": "2026-03-01T12:00:00Z",
        "activated_at": None,
        "activated_by": None,
        "activated_note": None,
    }
    several = await api.get("/v1/policies")
    assert (several["active_version"], several["policies"][0]) == (1, made)
    assert (await api.get("/v1/jobs"))["jobs"] == []


async def test_what_is_read_of_a_policy_can_be_sent_as_a_draft(api: Site) -> None:
    read = await api.get(f"/v1/policies/{await draft(api)}")
    sent = {name: read[name] for name in STRICT}

    made = (await post(api, "/v1/policies", sent)).json()

    assert {name: (made[name], type(made[name])) for name in FIRST} == {
        name: (STRICT[name], int) for name in FIRST
    }


async def test_a_whole_number_of_seconds_may_have_a_point(api: Site) -> None:
    await draft(api, **{name: float(STRICT[name]) for name in FIRST})


@pytest.mark.parametrize(
    ("changed", "field", "reason"),
    [
        ({"new_for_s": 0}, "new_for_s", "greater than or equal to 1"),
        ({"returned_for_s": -5}, "returned_for_s", "greater than or equal to 1"),
        ({"silent_after_s": "7"}, "silent_after_s", "valid integer"),
        ({"silent_after_s": True}, "silent_after_s", "valid integer"),
        ({"churned_after_s": 1.5}, "churned_after_s", "valid integer"),
        ({"churned_after_s": 1e30}, "churned_after_s", "less than or equal to 315360000"),
        ({"churned_after_s": 10**30}, "churned_after_s", "less than or equal to 315360000"),
        ({"new_for_s": 3_650 * DAY_S + 1}, "new_for_s", "less than or equal to 315360000"),
        ({"churned_after_s": 3 * DAY_S}, "churned_after_s", "must be longer than silent_after"),
        ({"silent_after_s": 31 * DAY_S}, "churned_after_s", "must be longer than silent_after"),
        ({"note": ""}, "note", "at least 1 character"),
        ({"note": " \t"}, "note", "is blank"),
        ({"note": "\x00"}, "note", "U+0000"),
        ({"silent_for_s": 1}, "silent_for_s", "Extra inputs"),
    ],
)
async def test_a_draft_that_makes_no_sense_is_refused_with_its_field(
    api: Site, changed: dict[str, Any], field: str, reason: str
) -> None:
    answer = await post(api, "/v1/policies", STRICT | changed)

    problem = await refused(answer, 400, "invalid_field")
    assert problem["field"] == field
    assert reason in problem["detail"]


@pytest.mark.parametrize("field", [*FIRST, "note"])
async def test_a_draft_names_every_threshold_and_says_what_it_is_for(api: Site, field: str) -> None:
    body = {name: value for name, value in STRICT.items() if name != field}

    assert (await refused(await post(api, "/v1/policies", body), 400, "invalid_field"))[
        "field"
    ] == field


async def test_the_longest_thresholds_are_taken(api: Site) -> None:
    longest = 3_650 * DAY_S

    await draft(api, new_for_s=longest, churned_after_s=longest, silent_after_s=1)


async def test_a_draft_equal_to_the_active_policy_is_refused(api: Site) -> None:
    answer = await post(api, "/v1/policies", FIRST | {"note": "the same again"})

    problem = await refused(answer, 409, "policy_unchanged")
    assert "active version 1" in problem["detail"]


async def test_a_preview_is_a_job_whose_result_is_shown_when_it_is_done(
    api: Site, database: Database, rows: Rows
) -> None:
    await rows.user("ann")
    version = await draft(api)

    answer = await post(api, f"/v1/policies/{version}/preview", at="2026-03-02T00:00:00Z")

    job = answer.json()
    assert (answer.status_code, answer.headers["location"]) == (202, f"/v1/jobs/{job['job_id']}")
    assert (job["kind"], job["state"], job["requested_by"]) == (
        "policy_preview",
        "waiting",
        "tests",
    )
    assert job["argument"] == {"version": 2, "against": 1, "at": "2026-03-02T00:00:00+00:00"}
    cell = {"before": "active", "after": "silent", "users": 1, "sample": ["ann"]}
    result = {"users": 1, "changed": 1, "cells": [cell]}
    async with connected(database.owner) as owner:
        await owner.execute(
            "UPDATE jobs SET state = 'running', progress_done = 1, result = $1", json.dumps(result)
        )
    running = await api.get(f"/v1/jobs/{job['job_id']}")
    await finish(database, job["job_id"], result)
    done = await api.get(f"/v1/jobs/{job['job_id']}")

    assert (running["state"], running["result"]) == ("running", None)
    assert running["progress"] == {"done": 1, "total": None}
    assert (done["state"], done["result"]) == ("done", result)


async def test_a_policy_is_activated_after_it_was_previewed_and_a_job_applies_it(
    api: Site, database: Database
) -> None:
    version = await draft(api)
    await previewed(api, database, version)
    api.clock.at = NOON + timedelta(hours=1)

    answer = await post(api, f"/v1/policies/{version}/activate", WHY)

    made = answer.json()
    assert answer.status_code == 200, answer.text
    assert (made["state"], made["activated_at"]) == ("active", "2026-03-01T13:00:00Z")
    assert (made["activated_by"], made["activated_note"]) == ("tests", WHY["note"])
    job = await api.get(f"/v1/jobs/{made['job_id']}")
    assert (job["kind"], job["argument"]) == ("policy_apply", {"version": version})
    states = {
        each["version"]: each["state"] for each in (await api.get("/v1/policies"))["policies"]
    }
    assert states == {1: "past", 2: "active"}


async def test_a_policy_that_nobody_previewed_is_activated_only_by_force(api: Site) -> None:
    version = await draft(api)

    answer = await post(api, f"/v1/policies/{version}/activate", WHY)
    problem = await refused(answer, 409, "policy_not_previewed")
    assert "was not previewed; preview it, or force it" in problem["detail"]
    forced = await post(api, f"/v1/policies/{version}/activate", WHY | {"force": True})

    assert forced.status_code == 200


@pytest.mark.parametrize("state", ["waiting", "running", "failed", "cancelled"])
async def test_a_preview_that_did_not_come_to_its_end_says_nothing(
    api: Site, database: Database, state: str
) -> None:
    version = await draft(api)
    job_id = await previewed(api, database, version)
    await finish(database, job_id, None, state=state)

    answer = await post(api, f"/v1/policies/{version}/activate", WHY)

    problem = await refused(answer, 409, "policy_not_previewed")
    assert f"preview {job_id} of version 2 is not done: it is {state}" in problem["detail"]


DAY = timedelta(days=1)
INSTANT = timedelta(microseconds=1)


@pytest.mark.parametrize("shift", [-DAY, timedelta(), DAY])
async def test_a_preview_as_of_a_day_around_the_activation_counts(
    api: Site, database: Database, shift: timedelta
) -> None:
    version = await draft(api)
    await previewed(api, database, version, at=(NOON + shift).isoformat())

    assert (await post(api, f"/v1/policies/{version}/activate", WHY)).status_code == 200


@pytest.mark.parametrize("shift", [-30 * DAY, -DAY - INSTANT, DAY + INSTANT, 300 * DAY])
async def test_a_preview_as_of_another_time_does_not_count(
    api: Site, database: Database, shift: timedelta
) -> None:
    version = await draft(api)
    job_id = await previewed(api, database, version, at=(NOON + shift).isoformat())

    answer = await post(api, f"/v1/policies/{version}/activate", WHY)

    problem = await refused(answer, 409, "policy_not_previewed")
    at = (NOON + shift).isoformat()
    assert problem["detail"] == (
        f"preview {job_id} is as of {at}, more than 24 hours from now; preview it again, or force it"
    )
    forced = await post(api, f"/v1/policies/{version}/activate", WHY | {"force": True})
    assert forced.status_code == 200


async def test_a_preview_counts_for_a_day_after_it_was_made(api: Site, database: Database) -> None:
    version, other = await draft(api), await draft(api, new_for_s=DAY_S)
    ahead = (NOON + 2 * DAY).isoformat()
    job_id = await previewed(api, database, version, at=ahead)
    api.clock.at = NOON + DAY + INSTANT

    answer = await post(api, f"/v1/policies/{version}/activate", WHY)

    problem = await refused(answer, 409, "policy_not_previewed")
    made = NOON.isoformat()
    assert f"preview {job_id} was made at {made}, more than 24 hours ago" in problem["detail"]
    api.clock.at = NOON + DAY
    assert (await post(api, f"/v1/policies/{version}/activate", WHY)).status_code == 200
    await refused(
        await post(api, f"/v1/policies/{other}/activate", WHY), 409, "policy_not_previewed"
    )


async def test_a_preview_counts_too_where_the_clock_was_put_back_behind_the_last_activation(
    api: Site, database: Database
) -> None:
    """It is as old as it is, although the activation has to lie behind the one before."""
    first, second = await draft(api), await draft(api, new_for_s=DAY_S)
    forced = WHY | {"force": True}
    assert (await post(api, f"/v1/policies/{first}/activate", forced)).status_code == 200
    api.clock.at = NOON - 5 * DAY
    await previewed(api, database, second)

    assert (await post(api, f"/v1/policies/{second}/activate", WHY)).status_code == 200


async def test_of_several_previews_one_that_counts_is_enough(api: Site, database: Database) -> None:
    version = await draft(api)
    await previewed(api, database, version, at=NOON.isoformat())
    await previewed(api, database, version, at=(NOON + 90 * DAY).isoformat())

    assert (await post(api, f"/v1/policies/{version}/activate", WHY)).status_code == 200


@pytest.mark.parametrize("force", ["yes", "true", 1, "false", None])
async def test_force_is_a_boolean_and_nothing_that_looks_like_one(api: Site, force: object) -> None:
    version = await draft(api)

    answer = await post(api, f"/v1/policies/{version}/activate", WHY | {"force": force})

    assert (await refused(answer, 400, "invalid_field"))["field"] == "force"
    assert (await api.get("/v1/policies"))["active_version"] == 1


async def test_a_preview_whose_instant_stands_in_a_body_is_refused(api: Site) -> None:
    version = await draft(api)
    address = f"/v1/policies/{version}/preview"

    answer = await post(api, address, {"at": "2026-03-02T00:00:00Z"})
    problem = await refused(answer, 400, "invalid_field")
    assert "stand in the address" in problem["detail"]
    assert (await api.get("/v1/jobs"))["jobs"] == []

    assert (await post(api, address, {})).status_code == 202


async def test_an_activation_after_the_preview_makes_it_void(api: Site, database: Database) -> None:
    first, second = await draft(api), await draft(api, new_for_s=DAY_S)
    await previewed(api, database, first)
    void = await previewed(api, database, second)
    assert (await post(api, f"/v1/policies/{first}/activate", WHY)).status_code == 200

    answer = await post(api, f"/v1/policies/{second}/activate", WHY)

    problem = await refused(answer, 409, "policy_not_previewed")
    assert "version 2 was activated since version 3 was previewed" in problem["detail"]
    assert f"preview {void} compared it with version 1" in problem["detail"]
    await previewed(api, database, second)
    assert (await post(api, f"/v1/policies/{second}/activate", WHY)).status_code == 200


async def test_an_older_draft_never_follows_a_newer_policy(api: Site) -> None:
    older, newer = await draft(api), await draft(api, new_for_s=DAY_S)
    force = WHY | {"force": True}
    assert (await post(api, f"/v1/policies/{newer}/activate", force)).status_code == 200

    for act, body in (("activate", force), ("preview", None)):
        answer = await post(api, f"/v1/policies/{older}/{act}", body)
        assert "draft it again" in (await refused(answer, 409, "policy_outdated"))["detail"]


async def test_a_policy_is_activated_once(api: Site) -> None:
    version = await draft(api)
    force = WHY | {"force": True}
    await post(api, f"/v1/policies/{version}/activate", force)

    for act, body in (("activate", force), ("preview", None)):
        await refused(
            await post(api, f"/v1/policies/{version}/{act}", body), 409, "policy_activated"
        )


async def test_of_two_activations_at_once_one_is_refused(api: Site, database: Database) -> None:
    versions = [await draft(api), await draft(api, new_for_s=DAY_S)]
    for version in versions:
        await previewed(api, database, version)

    answers = await asyncio.gather(
        *(post(api, f"/v1/policies/{version}/activate", WHY) for version in versions)
    )

    assert sorted(answer.status_code for answer in answers) == [200, 409]
    policies = (await api.get("/v1/policies"))["policies"]
    assert sum(each["activated_at"] is not None for each in policies) == 2
    jobs = (await api.get("/v1/jobs", kind="policy_apply"))["jobs"]
    assert len(jobs) == 1


async def test_drafts_at_once_get_versions_of_their_own(api: Site) -> None:
    made = await asyncio.gather(*(draft(api, new_for_s=DAY_S + each) for each in range(8)))

    assert sorted(made) == list(range(2, 10))


async def test_a_roll_back_is_a_new_version_with_the_old_thresholds(api: Site) -> None:
    version = await draft(api)
    await post(api, f"/v1/policies/{version}/activate", WHY | {"force": True})

    answer = await post(api, "/v1/policies/1/rollback", {"note": "too many went silent"})

    made = answer.json()
    assert (answer.status_code, answer.headers["location"]) == (201, "/v1/policies/3")
    assert made.items() >= (FIRST | {"version": 3, "state": "active"}).items()
    assert made["activated_note"] == "too many went silent"
    # The clock stood still: it holds from the next instant that there is.
    assert made["activated_at"] == "2026-03-01T12:00:00.000001Z"
    assert (await api.get("/v1/policies"))["active_version"] == 3
    assert (await api.get(f"/v1/jobs/{made['job_id']}"))["argument"] == {"version": 3}


async def test_a_roll_back_needs_a_policy_that_held_and_differs(api: Site) -> None:
    version = await draft(api)

    never = await post(api, f"/v1/policies/{version}/rollback", WHY)
    same = await post(api, "/v1/policies/1/rollback", WHY)

    await refused(never, 409, "policy_never_activated")
    await refused(same, 409, "policy_unchanged")


@pytest.mark.parametrize("act", ["preview", "activate", "rollback"])
async def test_a_version_that_nobody_drafted_is_not_known(api: Site, act: str) -> None:
    body = None if act == "preview" else WHY
    problem = await refused(await post(api, f"/v1/policies/9/{act}", body), 404, "unknown_policy")

    assert problem["field"] == "version"
    await refused(await api.client.get("/v1/policies/9"), 404, "unknown_policy")


@pytest.mark.parametrize("act", ["activate", "rollback"])
async def test_whoever_changes_what_holds_says_why(api: Site, act: str) -> None:
    version = await draft(api)

    answer = await post(api, f"/v1/policies/{version}/{act}", {})

    assert (await refused(answer, 400, "invalid_field"))["field"] == "note"


async def test_a_preview_of_a_time_before_the_active_policy_is_refused(api: Site) -> None:
    version, later = await draft(api), await draft(api, new_for_s=DAY_S)
    await post(api, f"/v1/policies/{version}/activate", WHY | {"force": True})

    answer = await post(api, f"/v1/policies/{later}/preview", at="2026-03-01T12:00:00Z")

    problem = await refused(answer, 400, "invalid_parameter")
    assert (problem["field"], "after the active policy's activation" in problem["detail"]) == (
        "at",
        True,
    )


async def test_the_first_policy_bounds_no_preview_because_it_always_held(api: Site) -> None:
    at = "1970-01-01T00:00:00Z"

    answer = await post(api, f"/v1/policies/{await draft(api)}/preview", at=at)

    assert answer.status_code == 202, answer.text


@pytest.mark.parametrize(
    "at", ["1969-12-31T23:59:59Z", "2200-01-01T00:00:00Z", "9999-12-31T23:59:59Z"]
)
async def test_a_preview_of_a_time_that_cannot_be_is_refused(api: Site, at: str) -> None:
    answer = await post(api, f"/v1/policies/{await draft(api)}/preview", at=at)

    problem = await refused(answer, 400, "invalid_parameter")
    assert (problem["field"], "1970 to 2199" in problem["detail"]) == ("at", True)


async def test_a_key_that_only_reads_sees_policies_and_changes_none(api: Site) -> None:
    headers = {"authorization": f"Bearer {READER}"}

    answer = await api.client.post("/v1/policies", json=STRICT, headers=headers)

    await refused(answer, 403, "missing_scope")
    assert (await api.client.get("/v1/policies", headers=headers)).status_code == 200


async def test_jobs_come_in_pages_the_newest_first_and_by_kind_and_state(
    api: Site, database: Database
) -> None:
    async with connected(database.owner) as owner:
        for number in range(5):
            await owner.execute(
                "INSERT INTO jobs (kind, state, requested_by, created_at, updated_at)"
                " VALUES ($1, $2, 'x', $3, $3)",
                "a" if number % 2 else "b",
                "failed" if number == 4 else "waiting",
                NOON + timedelta(minutes=number),
            )

    pages = await api.pages("/v1/jobs", "jobs", limit=2)
    times = [each["created_at"] for page in pages for each in page]
    assert [len(page) for page in pages] == [2, 2, 1]
    assert times == sorted(times, reverse=True)
    assert len((await api.get("/v1/jobs", kind="a"))["jobs"]) == 2
    assert [each["kind"] for each in (await api.get("/v1/jobs", state="failed"))["jobs"]] == ["b"]
    assert (await api.refused("/v1/jobs", state="odd"))["field"] == "state"


async def test_a_job_that_nobody_asked_for_is_not_known(api: Site) -> None:
    problem = await api.refused("/v1/jobs/00000000-0000-0000-0000-000000000001")

    assert (problem["code"], problem["field"]) == ("unknown_job", "job_id")


FORBIDDEN = [
    "UPDATE policies SET silent_after = '1 day' WHERE version = 1",
    "UPDATE policies SET note = ''",
    "DELETE FROM policies",
    "INSERT INTO policies (version, activated_at) VALUES (9, now())",
    "UPDATE jobs SET state = 'done'",
    "UPDATE jobs SET result = '{}'",
    "DELETE FROM jobs",
    "INSERT INTO jobs (kind, state) VALUES ('x', 'done')",
]


@pytest.mark.parametrize("statement", FORBIDDEN)
async def test_the_apis_role_drafts_and_activates_and_no_more(
    database: Database, statement: str
) -> None:
    async with connected(database.api) as connection:
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.execute(statement)
