"""Alerts over HTTP: one, every filter, and pages that neither skip nor repeat."""

from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest

from tests.integration.api.rows import NOON, Rows
from tests.integration.api.site import Site

pytestmark = pytest.mark.postgres

PATH = "/v1/alerts"


def users(body: dict[str, Any]) -> list[str]:
    return [alert["user_id"] for alert in body["alerts"]]


async def test_an_alert_is_shown_with_owner_playbook_and_evidence(api: Site, rows: Rows) -> None:
    alert_id = await rows.alert()

    shown = await api.get(f"{PATH}/{alert_id}")

    assert shown == {
        "alert_id": str(alert_id),
        "kind": "user_churned",
        "state": "firing",
        "severity": "warning",
        "user_id": "ann",
        "summary": "User ann has churned",
        "evidence": {"last_seen": "2026-02-01T00:00:00Z"},
        "owner": "retention",
        "playbook": "user_churned",
        "fired_at": "2026-03-01T12:00:00Z",
        "recorded_at": "2026-03-01T12:00:00Z",
        "resolved_at": None,
        "resolution": None,
        "as_of": None,
        "lag": {"seconds": None, "events": 0},
    }


async def test_a_resolved_alert_says_when_and_why(api: Site, rows: Rows) -> None:
    alert_id = await rows.alert(state="resolved", resolved_at=NOON, resolution="user_returned")

    shown = await api.get(f"{PATH}/{alert_id}")

    assert shown["state"] == "resolved"
    assert (shown["resolved_at"], shown["resolution"]) == ("2026-03-01T12:00:00Z", "user_returned")


async def test_an_alert_of_the_list_is_the_alert_itself(api: Site, rows: Rows) -> None:
    alert_id = await rows.alert()

    one = await api.get(f"{PATH}/{alert_id}")
    listed = (await api.get(PATH))["alerts"]

    assert listed == [{name: one[name] for name in one if name not in ("as_of", "lag")}]


async def test_an_unknown_alert_is_a_problem(api: Site, rows: Rows) -> None:
    await rows.alert()

    problem = await api.refused(f"{PATH}/{uuid4()}")

    assert (problem["status"], problem["code"]) == (404, "unknown_alert")
    assert problem["field"] == "alert_id"


@pytest.mark.parametrize("alert_id", ["1", "nobody", "%00", "%ED%A0%80"])
async def test_what_is_no_alert_s_id_is_refused_by_name(api: Site, alert_id: str) -> None:
    problem = await api.refused(f"{PATH}/{alert_id}")

    assert (problem["status"], problem["field"]) == (400, "alert_id")


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ({}, ["cid", "bob", "ann"]),
        ({"state": "firing"}, ["cid", "ann"]),
        ({"state": "resolved"}, ["bob"]),
        ({"kind": "user_churned"}, ["cid", "bob", "ann"]),
        ({"user_id": "ann"}, ["ann"]),
        ({"user_id": "ann", "state": "resolved"}, []),
        ({"fired_from": "2026-03-01T13:00:00Z"}, ["cid", "bob"]),
        ({"fired_to": "2026-03-01T13:00:00Z"}, ["ann"]),
        ({"fired_from": "2026-03-01T13:00:00", "fired_to": "2026-03-01T15:00:00+01:00"}, ["bob"]),
    ],
)
async def test_alerts_are_chosen_by_what_is_asked_newest_first(
    api: Site, rows: Rows, asked: dict[str, str], found: list[str]
) -> None:
    for hours, user_id in enumerate(("ann", "bob", "cid")):
        state = "resolved" if user_id == "bob" else "firing"
        await rows.alert(user_id=user_id, state=state, fired_at=NOON + timedelta(hours=hours))

    assert users(await api.get(PATH, **asked)) == found


@pytest.mark.parametrize("limit", [1, 2, 3, 7, 500])
async def test_pages_over_equal_instants_neither_skip_nor_repeat(
    api: Site, rows: Rows, limit: int
) -> None:
    fired = [str(await rows.alert(user_id=f"u{number}")) for number in range(7)]

    pages = await api.pages(PATH, "alerts", limit=limit)

    shown = [alert["alert_id"] for page in pages for alert in page]
    assert shown == sorted(fired, reverse=True)


async def test_a_cursor_of_another_list_is_refused(api: Site, rows: Rows) -> None:
    await rows.dead_letter("a")
    cursor = (await api.get("/v1/dead-letters", limit=1))["next_cursor"]

    problem = await api.refused(PATH, cursor=cursor)

    assert (problem["status"], problem["field"]) == (400, "cursor")


@pytest.mark.parametrize("field", ["state", "kind", "fired_from", "fired_to", "limit", "sate"])
async def test_a_value_that_there_is_not_is_refused_by_name(api: Site, field: str) -> None:
    assert (await api.refused(PATH, **{field: "no-such-thing"}))["field"] == field
