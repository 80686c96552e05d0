"""Jobs are cancelled over HTTP: at once or before their next step, and never where that would be wrong for ever."""

import asyncio
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest

from tests.integration.api.rows import NOON, Rows, connected
from tests.integration.api.site import Site
from tests.servers import Database

pytestmark = pytest.mark.postgres

ENDED = ["done", "failed", "cancelled"]


async def cancel(api: Site, job_id: UUID, **request: Any) -> httpx.Response:
    return await api.client.post(f"/v1/jobs/{job_id}/cancel", **request)


async def refused(answer: httpx.Response, status: int, code: str) -> str:
    problem = answer.json()
    assert (answer.status_code, problem["code"]) == (status, code), problem
    detail: str = problem["detail"]
    return detail


async def state(api: Site, job_id: UUID) -> str:
    found: str = (await api.get(f"/v1/jobs/{job_id}"))["state"]
    return found


@pytest.mark.parametrize("before", ["waiting", "running"])
async def test_a_preview_ends_and_says_who_cancelled_it(api: Site, rows: Rows, before: str) -> None:
    job_id = await rows.job(kind="policy_preview", state=before, progress_done=7)
    api.clock.at = NOON + timedelta(hours=1)

    answer = await cancel(api, job_id)

    job = answer.json()
    assert answer.status_code == 200, answer.text
    assert (job["job_id"], job["state"], job["error"]) == (
        str(job_id),
        "cancelled",
        "cancelled by tests",
    )
    assert (job["progress"]["done"], job["updated_at"]) == (7, "2026-03-01T13:00:00Z")
    assert (await api.get(f"/v1/jobs/{job_id}")).items() >= job.items()


@pytest.mark.parametrize("kind", ["policy_preview", "policy_apply", "delete_funnel"])
@pytest.mark.parametrize("before", ENDED)
async def test_what_has_ended_is_not_cancelled_and_its_state_is_told(
    api: Site, rows: Rows, kind: str, before: str
) -> None:
    job_id = await rows.job(kind=kind, state=before)

    detail = await refused(await cancel(api, job_id), 409, "job_ended")

    assert detail == f"the job has ended: it is {before}"
    assert await state(api, job_id) == before


async def test_cancelled_once_more_it_stays_as_it_was(api: Site, rows: Rows) -> None:
    job_id = await rows.job(kind="policy_preview")
    first = (await cancel(api, job_id)).json()
    api.clock.at = NOON + timedelta(hours=1)

    await refused(await cancel(api, job_id), 409, "job_ended")

    assert (await api.get(f"/v1/jobs/{job_id}")).items() >= first.items()


async def test_of_two_who_cancel_at_once_one_is_told_that_it_has_ended(
    api: Site, rows: Rows
) -> None:
    job_id = await rows.job(kind="policy_preview")

    answers = await asyncio.gather(cancel(api, job_id), cancel(api, job_id))

    assert sorted(each.status_code for each in answers) == [200, 409]


async def test_a_step_in_hand_is_waited_for_and_kept_and_a_last_one_ends_the_job(
    api: Site, database: Database, rows: Rows
) -> None:
    going_on, ending = [await rows.job(kind="policy_preview", state="running") for _ in range(2)]
    async with connected(database.owner) as step:
        async with step.transaction():
            await step.execute(
                "UPDATE jobs SET progress_done = 5, state = CASE job_id WHEN $1 THEN 'done' ELSE state END",
                ending,
            )
            asked = [asyncio.create_task(cancel(api, job_id)) for job_id in (going_on, ending)]
            await waiting(step, len(asked))
            assert not any(each.done() for each in asked)
        cancelled, done = [await each for each in asked]

    assert cancelled.json()["state"] == "cancelled"
    assert cancelled.json()["progress"]["done"] == 5
    assert "it is done" in await refused(done, 409, "job_ended")


async def waiting(connection: Any, number: int) -> None:
    """Return when so many wait for a lock."""
    async with asyncio.timeout(10):
        while True:
            found = await connection.fetchval(
                "SELECT count(DISTINCT pid) FROM pg_locks WHERE NOT granted"
            )
            if found == number:
                return


async def test_an_application_that_users_depend_on_is_not_cancelled(api: Site, rows: Rows) -> None:
    job_id = await rows.job(kind="policy_apply", argument='{"version": 2}')
    earlier = {"argument": '{"version": 1}', "state": "done"}
    await rows.job(kind="policy_apply", **earlier)

    detail = await refused(await cancel(api, job_id), 409, "job_needed")

    assert "roll back" in detail
    assert await state(api, job_id) == "waiting"


@pytest.mark.parametrize("later", ["waiting", "running", "done"])
async def test_an_application_whose_work_a_later_one_does_is_cancelled(
    api: Site, rows: Rows, later: str
) -> None:
    job_id = await rows.job(kind="policy_apply", state="running", argument='{"version": 2}')
    last = await rows.job(kind="policy_apply", state=later, argument='{"version": 10}')

    assert (await cancel(api, job_id)).json()["state"] == "cancelled"
    if later != "done":
        await refused(await cancel(api, last), 409, "job_needed")


@pytest.mark.parametrize("later", ["failed", "cancelled"])
async def test_a_later_application_that_failed_does_nobodys_work(
    api: Site, rows: Rows, later: str
) -> None:
    job_id = await rows.job(kind="policy_apply", argument='{"version": 2}')
    await rows.job(kind="policy_apply", state=later, argument='{"version": 3}')

    await refused(await cancel(api, job_id), 409, "job_needed")


@pytest.mark.parametrize("funnel", ["backfilling", "live"])
async def test_a_funnel_is_deleted_rather_than_left_half_counted(
    api: Site, rows: Rows, funnel: str
) -> None:
    funnel_id = await rows.funnel(state=funnel)
    argument = f'{{"funnel_id": {funnel_id}}}'
    job_id = await rows.job(kind="backfill_funnel", state="running", argument=argument)

    detail = await refused(await cancel(api, job_id), 409, "job_needed")
    assert "delete the funnel" in detail
    await api.client.delete(f"/v1/funnels/{funnel_id}")

    assert (await cancel(api, job_id)).status_code == 200


async def test_a_deletion_and_what_nobody_knows_go_on(api: Site, rows: Rows) -> None:
    deletion = await rows.job(kind="delete_funnel", argument='{"funnel_id": 1}')
    future = await rows.job(kind="of_the_future")

    assert "for ever" in await refused(await cancel(api, deletion), 409, "job_needed")
    assert "of_the_future" in await refused(await cancel(api, future), 409, "job_needed")


async def test_a_job_that_nobody_asked_for_is_not_known(api: Site) -> None:
    answer = await cancel(api, uuid4())

    await refused(answer, 404, "unknown_job")
    assert answer.json()["field"] == "job_id"


async def test_what_says_more_than_the_address_is_refused(api: Site, rows: Rows) -> None:
    job_id = await rows.job(kind="policy_preview")

    await refused(await cancel(api, job_id, json={"force": True}), 400, "invalid_field")
    await refused(await cancel(api, job_id, params={"force": True}), 400, "invalid_parameter")
    assert await state(api, job_id) == "waiting"
