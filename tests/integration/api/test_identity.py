"""Identity over HTTP: whose an id is, by which event, and what was merged when."""

from datetime import timedelta

import pytest

from services.api.outbound.snapshots import PostgresSnapshots
from tests.integration.api.rows import NOON, Rows
from tests.integration.api.site import Site
from tests.servers import Database

pytestmark = pytest.mark.postgres


async def test_a_user_is_found_by_every_id_of_theirs(api: Site, rows: Rows) -> None:
    await rows.user("ann", event_count=9)
    await rows.merged("visitor", "ann")

    assert (await api.get("/v1/users/visitor"))["event_count"] == 9
    assert (await api.get("/v1/users/visitor"))["user_id"] == "ann"


async def test_ids_that_are_anothers_or_nobodys_are_no_users(api: Site, rows: Rows) -> None:
    await rows.user("ann")
    await rows.merged("visitor", "ann")
    await rows.user("nobody", merged_into="")

    assert [each["user_id"] for each in (await api.get("/v1/users"))["users"]] == ["ann"]
    assert (await api.get("/v1/tiers"))["total"] == 1
    assert (await api.client.get("/v1/users/nobody")).status_code == 404


async def test_any_id_tells_whose_it_is_and_by_which_event(api: Site, rows: Rows) -> None:
    await rows.user("a/b")
    await rows.merged("visitor", "a/b", source="app", event_id="m-1")
    await rows.claim("phone", "a/b", fault="claimed_by_another")

    answers = [
        await api.get("/v1/users/a%2Fb/identities"),
        await api.get("/v1/users/visitor/identities"),
    ]

    claim = {"at": "2026-03-01T12:00:00Z", "decided_at": "2026-03-01T12:00:00Z", "target": "a/b"}
    for answer in answers:
        assert answer["user_id"] == "a/b"
        assert answer["identities"] == [
            {"claimed": "visitor", "source": "app", "event_id": "m-1"} | claim
        ]
        assert answer["rejected"] == [
            {
                "claimed": "phone",
                "source": "web",
                "event_id": "phone>a/b",
                "fault": "claimed_by_another",
            }
            | claim
        ]


async def test_a_rejected_claim_is_found_by_every_id_of_both_users(api: Site, rows: Rows) -> None:
    await rows.user("ann")
    await rows.merged("ann-s-phone", "ann")
    await rows.user("bob")
    await rows.merged("visitor-8", "bob")
    await rows.user("cyd")
    await rows.claim("visitor-8", "ann-s-phone", fault="claimed_by_another")

    for user_id in ("ann", "ann-s-phone", "bob", "visitor-8"):
        [rejected] = (await api.get(f"/v1/users/{user_id}/identities"))["rejected"]
        assert (rejected["claimed"], rejected["target"]) == ("visitor-8", "ann-s-phone")
    assert (await api.get("/v1/users/cyd/identities"))["rejected"] == []


async def test_a_rejected_claim_between_two_ids_of_one_user_is_listed_once(
    api: Site, rows: Rows
) -> None:
    await rows.user("ann")
    await rows.merged("a-1", "ann")
    await rows.merged("bob", "ann")
    await rows.claim("a-1", "bob", fault="claimed_by_another")

    for user_id in ("ann", "a-1", "bob"):
        [rejected] = (await api.get(f"/v1/users/{user_id}/identities"))["rejected"]
        assert (rejected["claimed"], rejected["target"]) == ("a-1", "bob")


async def test_ids_come_in_pages_that_neither_skip_nor_repeat(api: Site, rows: Rows) -> None:
    await rows.user("ann")
    for number in range(5):
        await rows.merged(f"visitor-{number}", "ann")

    pages = await api.pages("/v1/users/ann/identities", "identities", limit=2)

    assert [[each["claimed"] for each in page] for page in pages] == [
        ["visitor-0", "visitor-1"],
        ["visitor-2", "visitor-3"],
        ["visitor-4"],
    ]


async def test_whoever_reads_a_timeline_gets_every_id_that_its_events_came_with(
    database: Database, rows: Rows
) -> None:
    await rows.user("ann")
    await rows.merged("visitor", "ann")
    await rows.merged("phone", "ann")
    await rows.merged("else", "bob")
    snapshots = PostgresSnapshots(database.api, group="segmenter")

    async with snapshots.open() as snapshot:
        assert await snapshot.identity.ids_of("ann") == ["ann", "phone", "visitor"]
    await snapshots.stop()


async def test_an_unknown_id_is_nobodys(api: Site) -> None:
    answer = await api.client.get("/v1/users/who/identities")

    assert (answer.status_code, answer.json()["code"]) == (404, "unknown_user")


async def test_merges_come_newest_first_in_pages_and_by_either_id(api: Site, rows: Rows) -> None:
    await rows.user("ann")
    for number in range(3):
        await rows.merge(f"v-{number}", "ann", merged_at=NOON + timedelta(hours=number))
    await rows.merge("v-9", "bob")

    pages = await api.pages("/v1/merges", "merges", user_id="ann", limit=2)

    assert [[each["absorbed"] for each in page] for page in pages] == [["v-2", "v-1"], ["v-0"]]
    [one] = (await api.get("/v1/merges", user_id="v-9"))["merges"]
    assert one.pop("merge_id")
    assert one == {
        "merged_at": "2026-03-01T12:00:00Z",
        "absorbed": "v-9",
        "into_user": "bob",
        "from_user": "v-9",
        "source": "web",
        "event_id": "v-9>bob",
        "at": "2026-03-01T12:00:00Z",
        "events_moved": 5,
        "steps_retracted": 2,
        "steps_written": 1,
    }
    between = await api.get(
        "/v1/merges", merged_from="2026-03-01T13:00:00Z", merged_to="2026-03-01T14:00:00Z"
    )
    assert [each["absorbed"] for each in between["merges"]] == ["v-1"]
