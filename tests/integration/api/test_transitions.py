"""Transitions over HTTP: every filter, both orders, and pages that neither skip nor repeat."""

import base64
import json
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from tests.integration.api.rows import NOON, Rows
from tests.integration.api.site import Site

pytestmark = pytest.mark.postgres

PATH = "/v1/transitions"


def users(body: dict[str, Any]) -> list[str]:
    return [transition["user_id"] for transition in body["transitions"]]


def cursor_of(*key: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(key).encode()).decode()


async def test_a_transition_is_shown_with_its_evidence(api: Site, rows: Rows) -> None:
    transition_id = await rows.transition(recorded_at=NOON + timedelta(hours=1))

    body = await api.get(PATH)

    assert body["transitions"] == [
        {
            "transition_id": str(transition_id),
            "user_id": "ann",
            "kind": "lifecycle",
            "before": "active",
            "after": "silent",
            "at": "2026-03-01T12:00:00Z",
            "recorded_at": "2026-03-01T13:00:00Z",
            "reason": "time_passed",
            "policy_version": 1,
            "historical": False,
            "evidence": {"silent_for_s": 604800.0},
            "retracted_at": None,
            "retracted_because": None,
        }
    ]


async def test_a_first_transition_comes_from_nothing(api: Site, rows: Rows) -> None:
    await rows.transition(before=None, after="new", reason="first_activity")

    assert (await api.get(PATH))["transitions"][0]["before"] is None


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ({}, ["cid", "bob", "ann"]),
        ({"user_id": "ann"}, ["ann"]),
        ({"user_id": "AN"}, []),
        ({"kind": "lifecycle"}, ["cid", "bob", "ann"]),
        ({"before": "active"}, ["bob", "ann"]),
        ({"after": "silent"}, ["ann"]),
        ({"before": "active", "after": "churned"}, ["bob"]),
        ({"at_from": "2026-03-01T13:00:00Z"}, ["cid", "bob"]),
        ({"at_to": "2026-03-01T13:00:00Z"}, ["ann"]),
        ({"at_from": "2026-03-01T14:00:00+01:00", "at_to": "2026-03-01T14:00:00Z"}, ["bob"]),
        ({"at_from": "2026-03-01T13:00:00Z", "at_to": "2026-03-01T12:00:00Z"}, []),
    ],
)
async def test_transitions_are_chosen_by_what_is_asked(
    api: Site, rows: Rows, asked: dict[str, str], found: list[str]
) -> None:
    await rows.transition(user_id="ann", before="active", after="silent")
    await rows.transition(
        user_id="bob", before="active", after="churned", at=NOON + timedelta(hours=1)
    )
    await rows.transition(
        user_id="cid", before="churned", after="returned", at=NOON + timedelta(hours=2)
    )

    assert users(await api.get(PATH, **asked)) == found


@pytest.mark.parametrize(
    ("order", "found"), [("newest", ["new", "mid", "old"]), ("oldest", ["old", "mid", "new"])]
)
async def test_transitions_come_in_the_order_that_is_asked(
    api: Site, rows: Rows, order: str, found: list[str]
) -> None:
    for user_id, days in (("mid", 0), ("new", 40), ("old", -40)):
        await rows.transition(user_id=user_id, at=NOON + timedelta(days=days))

    assert users(await api.get(PATH, order=order)) == found


@pytest.mark.parametrize(
    ("status", "found"),
    [
        (None, ["stands"]),
        ("standing", ["stands"]),
        ("retracted", ["does not"]),
        ("all", ["does not", "stands"]),
    ],
)
async def test_a_retracted_transition_is_shown_when_it_is_asked_for(
    api: Site, rows: Rows, status: str | None, found: list[str]
) -> None:
    await rows.transition(user_id="stands")
    await rows.transition(user_id="does not", retracted_at=NOON, retracted_because="late_event")

    body = await api.get(PATH, **({} if status is None else {"status": status}))

    assert sorted(users(body)) == found


@pytest.mark.parametrize("order", ["newest", "oldest"])
@pytest.mark.parametrize("limit", [1, 2, 3, 5, 6, 500])
async def test_pages_over_equal_instants_neither_skip_nor_repeat(
    api: Site, rows: Rows, order: str, limit: int
) -> None:
    ids = [UUID(int=number) for number in (1, 2**64, 2**127, 2**128 - 1)]
    for transition_id in ids:
        await rows.transition(transition_id=transition_id)
    before = await rows.transition(at=NOON - timedelta(microseconds=1))
    after = await rows.transition(at=NOON + timedelta(microseconds=1))

    pages = await api.pages(PATH, "transitions", order=order, limit=limit)

    shown = [UUID(each["transition_id"]) for page in pages for each in page]
    oldest_first = [before, *ids, after]
    assert shown == (oldest_first if order == "oldest" else oldest_first[::-1])
    assert all(len(page) <= limit for page in pages)


async def test_pages_keep_to_their_filter(api: Site, rows: Rows) -> None:
    for number in range(10):
        await rows.transition(user_id="ann" if number % 2 else "bob")

    pages = await api.pages(PATH, "transitions", user_id="ann", limit=2)

    assert [each["user_id"] for page in pages for each in page] == ["ann"] * 5


@pytest.mark.parametrize(
    "cursor",
    [
        "",
        "nonsense",
        "é",
        "%00",
        "a" * 2_001,
        "W" * 2_000,
        cursor_of(),
        cursor_of("transitions-newest"),
        cursor_of("transitions-newest", "yesterday", str(UUID(int=1))),
        cursor_of("transitions-newest", NOON.isoformat(), "1"),
        cursor_of("transitions-newest", NOON.isoformat(), "\ud800"),
        cursor_of("transitions-newest", NOON.isoformat(), str(UUID(int=1)), "more"),
        cursor_of("transitions-newest", NOON.isoformat(), 1),
        cursor_of("transitions-newest", "0001-01-01T00:00:00+14:00", str(UUID(int=1))),
        base64.urlsafe_b64encode(b"[" * 1_000).decode(),
        base64.urlsafe_b64encode(b"9" * 1_000).decode(),
    ],
)
async def test_what_is_no_cursor_is_refused_by_name(api: Site, cursor: str) -> None:
    problem = await api.refused(PATH, cursor=cursor)

    assert (problem["status"], problem["code"]) == (400, "invalid_parameter")
    assert problem["field"] == "cursor"


async def test_a_cursor_of_another_list_or_order_is_refused(api: Site, rows: Rows) -> None:
    await rows.transition()
    await rows.alert()
    cursors = [
        (await api.get("/v1/alerts", limit=1))["next_cursor"],
        (await api.get(PATH, limit=1, order="oldest"))["next_cursor"],
    ]

    for cursor in cursors:
        problem = await api.refused(PATH, cursor=cursor)

        assert problem["field"] == "cursor"
        assert "another list" in problem["detail"]


@pytest.mark.parametrize("spelling", ["urn:uuid:{}", "{{{}}}", "{}"])
async def test_a_cursor_may_spell_its_id_in_any_way(api: Site, rows: Rows, spelling: str) -> None:
    await rows.transition(transition_id=UUID(int=1))
    await rows.transition(transition_id=UUID(int=2))
    cursor = cursor_of("transitions-oldest", NOON.isoformat(), spelling.format(UUID(int=1)))

    body = await api.get(PATH, order="oldest", cursor=cursor)

    assert [each["transition_id"] for each in body["transitions"]] == [str(UUID(int=2))]


@pytest.mark.parametrize(
    "field",
    ["kind", "before", "after", "at_from", "at_to", "status", "order", "limit", "user_id", "x"],
)
async def test_a_value_that_there_is_not_is_refused_by_name(api: Site, field: str) -> None:
    value = "\x00" if field == "user_id" else "no-such-thing"

    assert (await api.refused(PATH, **{field: value}))["field"] == field
