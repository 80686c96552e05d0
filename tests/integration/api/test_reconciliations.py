"""What was recounted, newest first, with every difference that was found."""

from collections.abc import Sequence
from typing import Any

import asyncpg
import pytest

from tests.integration.api.rows import NOON, connected
from tests.integration.api.site import Site
from tests.servers import Database

pytestmark = pytest.mark.postgres


async def put(database: Database, *, differing: Sequence[str] = ()) -> int:
    async with connected(database.owner) as owner:
        run: int = await owner.fetchval(
            "INSERT INTO reconciliations (at, users_checked, users_skipped, users_differing,"
            " cells_checked, cells_differing) VALUES ($1, 20, 1, $2, 5, 0)"
            " RETURNING reconciliation_id",
            NOON,
            len(differing),
        )
        for user_id in differing:
            await owner.execute(
                "INSERT INTO reconciliation_differences"
                " (reconciliation_id, kind, subject, field, stored, recounted)"
                " VALUES ($1, 'user', $2, 'event_count', '3', '4')",
                run,
                user_id,
            )
    return run


async def test_a_run_is_shown_with_its_differences(api: Site, database: Database) -> None:
    run = await put(database, differing=["ada"])

    found = await api.get("/v1/reconciliations")

    assert found["reconciliations"] == [
        {
            "reconciliation_id": run,
            "at": "2026-03-01T12:00:00Z",
            "users_checked": 20,
            "users_skipped": 1,
            "users_differing": 1,
            "cells_checked": 5,
            "cells_differing": 0,
            "differences": [
                {
                    "kind": "user",
                    "subject": "ada",
                    "field": "event_count",
                    "stored": "3",
                    "recounted": "4",
                }
            ],
        }
    ]


async def test_runs_come_in_pages_the_newest_first(api: Site, database: Database) -> None:
    made = [await put(database) for _ in range(5)]

    pages = await api.pages("/v1/reconciliations", "reconciliations", limit=2)

    shown = [each["reconciliation_id"] for page in pages for each in page]
    assert shown == made[::-1]


@pytest.mark.parametrize(("differing", "kept"), [("true", [1]), ("false", [0, 2])])
async def test_only_runs_that_found_something_or_nothing_can_be_asked_for(
    api: Site, database: Database, differing: str, kept: list[int]
) -> None:
    made = [await put(database, differing=each) for each in ((), ("ada", "bob"), ())]

    found = await api.get("/v1/reconciliations", differing=differing)

    shown = [each["reconciliation_id"] for each in found["reconciliations"]]
    assert shown == [made[each] for each in reversed(kept)]


@pytest.mark.parametrize(
    "given", [{"cursor": "x"}, {"cursor": "WyJyZWNvbmNpbGlhdGlvbnMiLCJ4Il0"}, {"limit": 101}]
)
async def test_a_page_that_there_is_not_is_refused(api: Site, given: dict[str, Any]) -> None:
    problem = await api.refused("/v1/reconciliations", **given)

    assert problem["field"] in given


@pytest.mark.parametrize("role", ["api", "alerts"])
async def test_no_other_role_writes_them(database: Database, role: str) -> None:
    async with connected(getattr(database, role)) as connection:
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.execute("DELETE FROM reconciliations")
