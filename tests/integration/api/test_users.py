"""Users over HTTP: any id, every filter, and pages that neither skip nor repeat."""

from datetime import timedelta
from urllib.parse import quote

import pytest

from tests.integration.api.rows import NOON, Rows
from tests.integration.api.site import Site

pytestmark = pytest.mark.postgres

ODD_IDS = [
    "a/b",
    "/a//b/",
    "50%",
    "a%2Fb",
    "zoë 😀",
    "a?b#c&d=e",
    "a+b c",
    "..",
    "'; --",
    "\\",
    "_",
]


def ids(users: list[dict[str, str]]) -> list[str]:
    return [user["user_id"] for user in users]


@pytest.mark.parametrize("user_id", ODD_IDS)
async def test_a_user_is_found_by_any_id(api: Site, rows: Rows, user_id: str) -> None:
    await rows.user(user_id)
    await rows.user("another")

    # Dots too: clients take `..` for the folder above.
    path = quote(user_id, safe="").replace(".", "%2E")
    answer = await api.client.get(f"/v1/users/{path}")

    assert answer.status_code == 200, answer.text
    assert answer.json()["user_id"] == user_id


async def test_a_user_is_shown_with_what_time_will_do_next(api: Site, rows: Rows) -> None:
    await rows.user("ann", deadline=NOON + timedelta(days=7), deadline_to="silent", event_count=9)

    user = await api.get("/v1/users/ann")

    assert user == {
        "user_id": "ann",
        "lifecycle": "active",
        "lifecycle_since": "2026-03-01T12:00:00Z",
        "first_seen": "2026-02-26T12:00:00Z",
        "last_seen": "2026-03-01T12:00:00Z",
        "next_transition": {"at": "2026-03-08T12:00:00Z", "to": "silent"},
        "event_count": 9,
        "policy_version": 1,
        "updated_at": "2026-03-01T12:00:00Z",
        "as_of": None,
        "lag": {"seconds": None, "events": 0},
    }


async def test_nothing_comes_next_for_a_churned_user(api: Site, rows: Rows) -> None:
    await rows.user("ann", lifecycle="churned")

    assert (await api.get("/v1/users/ann"))["next_transition"] is None


@pytest.mark.parametrize("user_id", ["nobody", "", "%00", "ANN", "ann/"])
async def test_an_unknown_user_is_a_problem(api: Site, rows: Rows, user_id: str) -> None:
    await rows.user("ann")

    problem = await api.refused(f"/v1/users/{user_id}")

    assert (problem["status"], problem["code"]) == (404, "unknown_user")
    assert problem["field"] == "user_id"


async def test_an_id_longer_than_any_is_refused_by_name(api: Site) -> None:
    problem = await api.refused("/v1/users/" + "x" * 1_001)

    assert (problem["status"], problem["field"]) == (400, "user_id")


async def test_users_come_in_the_order_of_their_ids(api: Site, rows: Rows) -> None:
    for user_id in ("b", "a", "B", "ä", "10", "9"):
        await rows.user(user_id)

    assert ids((await api.get("/v1/users"))["users"]) == ["10", "9", "B", "a", "b", "ä"]


async def test_users_are_chosen_by_one_or_several_lifecycles(api: Site, rows: Rows) -> None:
    for lifecycle in ("new", "active", "silent", "churned", "returned"):
        await rows.user(f"is-{lifecycle}", lifecycle=lifecycle)

    one = await api.get("/v1/users", lifecycle="churned")
    two = await api.get("/v1/users", lifecycle=["silent", "new"])

    assert ids(one["users"]) == ["is-churned"]
    assert ids(two["users"]) == ["is-new", "is-silent"]


@pytest.mark.parametrize("given", ["asleep", "Churned", "", ["new", "asleep"]])
async def test_an_unknown_lifecycle_is_refused_by_name(api: Site, given: object) -> None:
    problem = await api.refused("/v1/users", lifecycle=given)

    assert (problem["status"], problem["code"]) == (400, "invalid_parameter")
    assert problem["field"] == "lifecycle"
    assert "'churned'" in problem["detail"]


@pytest.mark.parametrize(
    ("prefix", "found"),
    [("a", ["a%b", "a_b", "aab"]), ("a_", ["a_b"]), ("a%", ["a%b"]), ("A", []), ("b\\", ["b\\"])],
)
async def test_a_prefix_is_taken_literally(
    api: Site, rows: Rows, prefix: str, found: list[str]
) -> None:
    for user_id in ("a_b", "a%b", "aab", "b\\", "c"):
        await rows.user(user_id)

    assert ids((await api.get("/v1/users", prefix=prefix))["users"]) == found


async def test_users_are_chosen_by_when_they_were_last_seen(api: Site, rows: Rows) -> None:
    for hours in range(4):
        await rows.user(f"{hours}-hours", last_seen=NOON + timedelta(hours=hours))

    found = await api.get(
        "/v1/users", seen_from="2026-03-01T13:00:00Z", seen_to="2026-03-01T16:00:00+01:00"
    )

    assert ids(found["users"]) == ["1-hours", "2-hours"]


async def test_an_instant_without_an_offset_is_utc(api: Site, rows: Rows) -> None:
    await rows.user("ann")

    seen = await api.get("/v1/users", seen_from="2026-03-01T12:00:00")
    unseen = await api.get("/v1/users", seen_from="2026-03-01T12:00:01")

    assert (ids(seen["users"]), ids(unseen["users"])) == (["ann"], [])


@pytest.mark.parametrize("limit", [1, 2, 3, 7, 11, 500])
async def test_all_pages_together_are_the_list(api: Site, rows: Rows, limit: int) -> None:
    expected = sorted(ODD_IDS, key=lambda user_id: user_id.encode())
    for user_id in ODD_IDS:
        await rows.user(user_id)

    pages = await api.pages("/v1/users", "users", limit=limit)

    assert [user["user_id"] for page in pages for user in page] == expected
    assert all(len(page) <= limit for page in pages)


async def test_users_who_arrive_between_pages_disturb_nobody_else(api: Site, rows: Rows) -> None:
    there = [f"u{number:02}" for number in range(0, 20, 2)]
    for user_id in there:
        await rows.user(user_id)
    seen: list[str] = []
    cursor: dict[str, str] = {}

    for number in range(1, 20, 2):
        body = await api.get("/v1/users", limit=3, **cursor)
        seen += ids(body["users"])
        await rows.user(f"u{number:02}")
        if body["next_cursor"] is None:
            break
        cursor = {"cursor": body["next_cursor"]}

    assert len(seen) == len(set(seen))
    assert set(there) <= set(seen)
    assert seen == sorted(seen)


@pytest.mark.parametrize("limit", ["0", "-1", "501", "many", "1.5", ""])
async def test_a_page_of_no_possible_size_is_refused_by_name(api: Site, limit: str) -> None:
    assert (await api.refused("/v1/users", limit=limit))["field"] == "limit"


async def test_a_parameter_that_there_is_not_is_refused_by_name(api: Site) -> None:
    problem = await api.refused("/v1/users", lifecyle="churned")

    assert (problem["status"], problem["field"]) == (400, "lifecyle")
