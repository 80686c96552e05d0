"""Filters by time take ISO 8601, and nothing that only looks like a time to a machine."""

import pytest

from tests.integration.api.routes import questions
from tests.integration.api.rows import Rows
from tests.integration.api.site import Site

pytestmark = pytest.mark.postgres


def time_filters(api: Site) -> list[tuple[str, str]]:
    """Return the address and the name of every parameter that is an instant."""
    described = api.app.openapi()["paths"]
    return [
        (route.template, parameter["name"])
        for route in questions(api.app)
        for parameter in described[route.template]["get"].get("parameters", ())
        if "date-time" in str(parameter["schema"])
    ]


def test_every_filter_by_time_is_known_as_one(api: Site) -> None:
    filters = {name for _, name in time_filters(api)}

    assert filters == {
        f"{what}_{end}"
        for what in ("seen", "at", "fired", "refused", "merged")
        for end in ("from", "to")
    }


@pytest.mark.parametrize(
    "given", ["2026-03-01", "20260301", "2026-W09-7", "20260301T120000Z", "2026-03-01 12:00"]
)
async def test_every_form_of_iso_8601_is_an_instant(api: Site, rows: Rows, given: str) -> None:
    await rows.user("ann")

    found = await api.get("/v1/users", seen_from=given)

    assert [user["user_id"] for user in found["users"]] == ["ann"]


@pytest.mark.parametrize(
    "given",
    ["1795521600", "-1", "0", "1712041600000", "17120416.05", "1e9", "99999999", "soon", "12:00"],
)
async def test_a_number_is_no_instant(api: Site, given: str) -> None:
    for path, field in time_filters(api):
        problem = await api.refused(path, **{field: given})

        assert (problem["status"], problem["field"]) == (400, field)
        assert problem["detail"] == f"{field}: is not an ISO 8601 time such as 2026-11-24T12:00:00Z"


async def test_a_plus_that_became_a_blank_is_recognised(api: Site) -> None:
    for path, field in time_filters(api):
        answer = await api.client.get(f"{path}?{field}=2026-03-01T12:00:00+01:00")

        assert (answer.status_code, answer.json()["field"]) == (400, field)
        assert answer.json()["detail"].startswith(f"{field}: ")
        assert "%2B" in answer.json()["detail"]
