"""How old an answer is, and what is answered when the database is away."""

from datetime import timedelta
from typing import Any

import httpx
import pytest

from tests.integration.api.routes import questions
from tests.integration.api.rows import NOON, Rows
from tests.integration.api.site import Site, site
from tests.integration.api.wire import wire_to
from tests.servers import Database

pytestmark = pytest.mark.postgres

COMMAND_S = 0.5


async def age(api: Site) -> tuple[Any, Any, Any]:
    body = await api.get("/v1/tiers")
    return body["as_of"], body["lag"]["seconds"], body["lag"]["events"]


async def test_every_answer_says_how_old_it_is(api: Site, rows: Rows) -> None:
    await rows.user("ann")
    alert_id = await rows.alert()
    parts = {"alert_id": str(alert_id), "funnel_id": str(await rows.funnel())}
    parts |= {"job_id": str(await rows.job())}
    await rows.partition(0, watermark=NOON - timedelta(seconds=90), next_offset=4, end_offset=10)

    for route in questions(api.app):
        body = await api.get(route.address(**parts))

        assert body["as_of"] == "2026-03-01T11:58:30Z", route
        assert body["lag"] == {"seconds": 90.0, "events": 6}, route


async def test_without_partitions_nothing_is_known(api: Site) -> None:
    assert await age(api) == (None, None, 0)


async def test_where_all_is_folded_the_age_is_the_watermark_s(api: Site, rows: Rows) -> None:
    await rows.partition(0, watermark=NOON - timedelta(milliseconds=250))

    assert await age(api) == ("2026-03-01T11:59:59.750000Z", 0.25, 0)


async def test_the_partition_that_is_furthest_behind_decides(api: Site, rows: Rows) -> None:
    await rows.partition(0, watermark=NOON)
    await rows.partition(1, watermark=NOON - timedelta(hours=2), next_offset=10, end_offset=70)
    await rows.partition(2, watermark=NOON - timedelta(hours=1), next_offset=10, end_offset=40)

    assert await age(api) == ("2026-03-01T10:00:00Z", 7200.0, 90)


async def test_a_partition_that_was_never_folded_leaves_the_age_unknown(
    api: Site, rows: Rows
) -> None:
    await rows.partition(0)
    await rows.partition(1, watermark=None, next_offset=0, end_offset=5)

    assert await age(api) == (None, None, 5)


async def test_a_log_whose_end_is_not_known_counts_no_waiting_events(api: Site, rows: Rows) -> None:
    await rows.partition(0, end_offset=None)
    await rows.partition(1, next_offset=12, end_offset=10)

    assert await age(api) == ("2026-03-01T12:00:00Z", 0.0, 0)


async def test_only_the_segmenter_s_own_progress_counts(api: Site, rows: Rows) -> None:
    await rows.partition(0)
    await rows.partition(0, grp="alerts", watermark=None, end_offset=99)
    await rows.partition(0, topic="another", watermark=None, end_offset=99)

    assert await age(api) == ("2026-03-01T12:00:00Z", 0.0, 0)


async def test_numbers_that_nobody_renews_grow_old(api: Site, rows: Rows) -> None:
    await rows.partition(0)
    api.clock.at += timedelta(hours=3)

    assert await age(api) == ("2026-03-01T12:00:00Z", 10800.0, 0)
    metrics = (await api.client.get("/metrics")).text
    assert "ebbtide_api_lag_seconds 10800.0" in metrics.splitlines()


async def test_a_watermark_ahead_of_the_clock_is_no_lag(api: Site, rows: Rows) -> None:
    await rows.partition(0, watermark=NOON + timedelta(seconds=1))

    assert await age(api) == ("2026-03-01T12:00:01Z", 0.0, 0)


async def test_an_unknown_user_is_answered_without_an_age(api: Site, rows: Rows) -> None:
    await rows.partition(0)

    assert "as_of" not in await api.refused("/v1/users/nobody")


async def test_an_unreachable_database_puts_every_question_off() -> None:
    async with site("postgresql://ebbtide_api:x@127.0.0.1:1/nowhere") as api:
        for route in questions(api.app):
            check_put_off(await api.client.get(route.address()))


async def test_a_database_that_lets_nobody_in_puts_a_question_off(database: Database) -> None:
    wrong = database.api.replace("test-api-password", "another-password")

    async with site(wrong) as api:
        check_put_off(await api.client.get("/v1/tiers"))


async def test_a_cut_connection_is_replaced_unnoticed(database: Database) -> None:
    async with wire_to(database.api) as (wire, dsn), site(dsn) as api:
        await api.get("/v1/tiers")

        wire.cut()

        await api.get("/v1/tiers")


@pytest.mark.timeout(60)
async def test_a_database_that_freezes_puts_questions_off_until_it_thaws(
    database: Database,
) -> None:
    async with wire_to(database.api) as (wire, dsn), site(dsn, command_s=COMMAND_S) as api:
        await api.get("/v1/tiers")

        wire.freeze()
        put_off = await api.client.get("/v1/tiers")
        wire.thaw()

        check_put_off(put_off)
        await api.get("/v1/tiers")


def check_put_off(answer: httpx.Response) -> None:
    assert answer.status_code == 503, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert int(answer.headers["retry-after"]) >= 1
    assert answer.json()["code"] == "unavailable"
