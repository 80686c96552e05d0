"""From events over HTTP to activity, retention and flows, in days of the product's own zone."""

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from deploy.local.errors import DidNotStart
from tests.system.reader import Reader, reading
from tests.system.stack import Stack

pytestmark = [pytest.mark.system, pytest.mark.timeout(240)]

# 21:30 in St. John's, of the day before.
START = datetime(2026, 3, 2, 1, 0, tzinfo=UTC)
DAY = timedelta(days=1)
ZONE = {
    "EBBTIDE_PRODUCT_ZONE": "America/St_Johns",
    "EBBTIDE_SEGMENTER_RECONCILE_EVERY_S": "0.2",
}
RECOUNTED_WITHIN_S = 60.0


async def send(stack: Stack, user: str, at: datetime, source: str) -> None:
    event = {
        "type": "track",
        "event": "Used",
        "userId": user,
        "messageId": f"{user}-{at.isoformat()}",
        "timestamp": at.isoformat(),
        "context": {"campaign": {"source": source}, "device": {"type": "iOS"}},
    }
    async with httpx.AsyncClient(timeout=30, trust_env=False) as client:
        said = await client.post(
            f"{stack.ingest_url}/v1/track", json=event, auth=(stack.write_key, "")
        )
    assert said.status_code == 200, said.text


async def recounts(reader: Reader) -> list[Any]:
    """Return the latest runs, once there is one that recounted all three users."""
    async with asyncio.timeout(RECOUNTED_WITHIN_S):
        while True:
            page = await reader.get("/v1/reconciliations")
            runs: list[Any] = page["reconciliations"]
            if any(run["users_checked"] == 3 for run in runs):
                return runs


async def test_what_users_did_and_did_not_is_counted(tmp_path: Path, postgres_url: str) -> None:
    async with Stack(tmp_path, postgres=postgres_url, settings=ZONE, begins=START) as stack:
        await send(stack, "ada", START, "Ads")
        await send(stack, "bob", START, "mail")
        stack.drive(START + DAY)
        await send(stack, "ada", START + DAY, "elsewhere")
        await send(stack, "cy", START + DAY / 2, "Ads")  # half a day ago: no longer yesterday
        stack.drive(START + 31 * DAY)
        await stack.caught_up(START + 31 * DAY - timedelta(seconds=1))

        async with reading(stack.api_url, stack.api_key) as reader:
            days = {"from": "2026-03-01", "to": "2026-03-04"}
            activity = await reader.get("/v1/activity", by="channel", **days)
            retention = await reader.get("/v1/retention", oldest=2, **days)
            flows = await reader.get("/v1/flows", **{"from": "2026-03-01"})
            tiers = await reader.get("/v1/tiers")
            runs = await recounts(reader)

    assert activity["zone"] == "America/St_Johns"
    counted = {
        group["value"]: [(each["users"], each["new"]) for each in group["periods"]]
        for group in activity["groups"]
    }
    assert counted == {"ads": [(1, 1), (2, 1), (0, 0)], "mail": [(1, 1), (0, 0), (0, 0)]}
    [everybody] = retention["groups"]
    assert [each["ages"] for each in everybody["cohorts"]] == [[2, 1, 0], [1, 0, 0], [0, 0, 0]]
    [group] = flows["groups"]
    ends = {name: each["end"] for name, each in group["slots"][-1]["population"].items()}
    assert ends == tiers["lifecycle"]
    assert all(run["differences"] == [] for run in runs)


async def test_who_is_told_another_zone_does_not_start(tmp_path: Path, postgres_url: str) -> None:
    async with Stack(tmp_path, postgres=postgres_url, settings=ZONE, begins=START) as stack:
        stack._settings["EBBTIDE_PRODUCT_ZONE"] = "UTC"
        for name in ("segmenter-2", "api"):
            if name in stack.running():
                await stack.stop(name)

            with pytest.raises(DidNotStart, match="ended with status 2") as refusal:
                await stack.start_service(name)

            assert "are those of America/St_Johns: set it to that" in str(refusal.value)
