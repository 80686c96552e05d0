"""The segmenter over HTTP: its workers, its partitions, and what stands still."""

from datetime import timedelta
from typing import Any

import pytest

from tests.integration.api.rows import NOON, Rows
from tests.integration.api.site import Site

pytestmark = pytest.mark.postgres

PATH = "/v1/segmenter"


async def partitions(api: Site) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = (await api.get(PATH))["partitions"]
    return found


async def test_before_the_segmenter_ever_ran_there_is_nothing_to_show(api: Site) -> None:
    assert await api.get(PATH) == {
        "as_of": None,
        "lag": {"seconds": None, "events": 0},
        "workers": [],
        "partitions": [],
    }


async def test_a_partition_says_who_folds_it_and_how_far_it_is(api: Site, rows: Rows) -> None:
    await rows.partition(
        3,
        owner="segmenter-a",
        epoch=4,
        next_offset=40,
        end_offset=43,
        watermark=NOON - timedelta(seconds=90),
        folded_at=NOON - timedelta(seconds=1),
    )

    assert await partitions(api) == [
        {
            "partition": 3,
            "owner": "segmenter-a",
            "epoch": 4,
            "next_offset": 40,
            "end_offset": 43,
            "lag": {"seconds": 90.0, "events": 3},
            "watermark": "2026-03-01T11:58:30Z",
            "folded_at": "2026-03-01T11:59:59Z",
            "frozen_reason": None,
        }
    ]


async def test_a_frozen_partition_gives_its_reason(api: Site, rows: Rows) -> None:
    await rows.partition(0, frozen_reason="the topic was made anew")

    (found,) = await partitions(api)

    assert (found["owner"], found["frozen_reason"]) == (None, "the topic was made anew")


async def test_what_is_not_known_of_a_partition_is_null(api: Site, rows: Rows) -> None:
    await rows.partition(0, watermark=None, end_offset=None, next_offset=0)

    (found,) = await partitions(api)

    assert found["lag"] == {"seconds": None, "events": None}
    assert (found["watermark"], found["folded_at"], found["end_offset"]) == (None, None, None)


async def test_an_end_that_was_asked_for_before_the_last_fold_is_no_negative_lag(
    api: Site, rows: Rows
) -> None:
    await rows.partition(0, next_offset=12, end_offset=10, watermark=NOON + timedelta(seconds=1))

    (found,) = await partitions(api)

    assert found["lag"] == {"seconds": 0.0, "events": 0}


async def test_partitions_come_in_the_order_of_their_numbers(api: Site, rows: Rows) -> None:
    for part in (10, 2, 0, 1):
        await rows.partition(part)

    assert [each["partition"] for each in await partitions(api)] == [0, 1, 2, 10]


async def test_workers_say_whether_they_live_and_what_they_own(api: Site, rows: Rows) -> None:
    await rows.worker("b-living")
    await rows.worker("c-leaving", leaving=True)
    await rows.worker("a-dead", alive_for_s=-1.0)
    for part, owner in enumerate(["b-living", "b-living", "a-dead", None]):
        await rows.partition(part, owner=owner)

    assert (await api.get(PATH))["workers"] == [
        {"worker": "a-dead", "alive": False, "leaving": False, "partitions": 1},
        {"worker": "b-living", "alive": True, "leaving": False, "partitions": 2},
        {"worker": "c-leaving", "alive": True, "leaving": True, "partitions": 0},
    ]


async def test_other_groups_and_topics_are_not_the_segmenter_s(api: Site, rows: Rows) -> None:
    await rows.partition(0, grp="alerts")
    await rows.partition(1, topic="ebbtide.transitions.v1")
    await rows.worker("alerts-a", grp="alerts")

    found = await api.get(PATH)

    assert (found["workers"], found["partitions"]) == ([], [])


async def test_the_age_is_that_of_the_partition_furthest_behind(api: Site, rows: Rows) -> None:
    await rows.partition(0)
    await rows.partition(1, watermark=NOON - timedelta(minutes=1), next_offset=4, end_offset=9)

    found = await api.get(PATH)

    assert (found["as_of"], found["lag"]) == (
        "2026-03-01T11:59:00Z",
        {"seconds": 60.0, "events": 5},
    )


async def test_a_parameter_is_refused(api: Site) -> None:
    assert (await api.refused(PATH, partition="1"))["code"] == "invalid_parameter"
