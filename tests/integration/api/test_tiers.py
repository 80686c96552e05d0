"""How many users stand where: every lifecycle is named, and the parts are the whole."""

import pytest

from tests.integration.api.rows import Rows
from tests.integration.api.site import Site

pytestmark = pytest.mark.postgres


async def test_without_users_every_lifecycle_counts_none(api: Site) -> None:
    tiers = await api.get("/v1/tiers")

    assert tiers["lifecycle"] == dict.fromkeys(
        ("new", "active", "silent", "churned", "returned"), 0
    )
    assert tiers["total"] == 0


async def test_users_are_counted_where_they_stand(api: Site, rows: Rows) -> None:
    for lifecycle, number in (("active", 3), ("silent", 2), ("churned", 1)):
        for each in range(number):
            await rows.user(f"{lifecycle}-{each}", lifecycle=lifecycle)

    tiers = await api.get("/v1/tiers")

    assert tiers["lifecycle"] == {
        "new": 0,
        "active": 3,
        "silent": 2,
        "churned": 1,
        "returned": 0,
    }
    assert tiers["total"] == 6


async def test_a_count_is_the_length_of_the_list_behind_it(api: Site, rows: Rows) -> None:
    for number in range(7):
        await rows.user(f"u{number}", lifecycle=("new", "active", "churned")[number % 3])

    tiers = await api.get("/v1/tiers")

    for lifecycle, count in tiers["lifecycle"].items():
        listed = await api.get("/v1/users", lifecycle=lifecycle)
        assert len(listed["users"]) == count


async def test_a_parameter_that_there_is_not_is_refused_by_name(api: Site) -> None:
    problem = await api.refused("/v1/tiers", lifecycle="churned")

    assert (problem["status"], problem["field"]) == (400, "lifecycle")
