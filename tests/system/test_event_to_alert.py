"""From an event to a call on somebody's webhook, and back again when the user returns."""

import asyncio
import hashlib
import hmac
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import pytest
import pytest_asyncio

from shared.clock import SystemClock
from tests.integration.alerts.receiver import Received, Receiver, answer, receiver
from tests.system.local_run import until
from tests.system.reader import reading
from tests.system.stack import Stack

pytestmark = [pytest.mark.system, pytest.mark.timeout(240)]

START = datetime(2026, 3, 1, 9, 0, tzinfo=UTC)
SECRET = "secret-of-the-on-call-webhook"
SECOND = timedelta(seconds=1)
CHURNED = START + timedelta(days=30)
BROKEN = answer("500 Internal Server Error", body=b"try again")
# The first wait is of 5 seconds at most; this machine may be slow.
RETRIED_WITHIN_S = 30.0


@dataclass(frozen=True)
class Watched:
    """A stack whose alerts are posted to a receiver of the test's own."""

    stack: Stack
    target: Receiver

    async def acts(self, user: str, *, at: datetime | None = None) -> None:
        """Send one event, which happened now unless a time is given."""
        when = at or self.stack.now()
        event = {
            "id": f"{user}-{when.isoformat()}",
            "user_id": user,
            "name": "Used",
            "timestamp": when.isoformat(),
        }
        async with httpx.AsyncClient(timeout=30, trust_env=False) as client:
            said = await client.post(
                f"{self.stack.ingest_url}/v1/events", json=event, auth=(self.stack.write_key, "")
            )
        assert (said.status_code, said.json()["accepted"]) == (200, 1), said.text

    async def goes_on_to(self, instant: datetime) -> None:
        """Let time pass until just after the instant, and everything that follows from it happen."""
        self.stack.drive(instant + SECOND)
        await self.stack.caught_up(instant)

    async def alerts(self, **wanted: str) -> list[Any]:
        async with reading(self.stack.api_url, self.stack.api_key) as reader:
            return await reader.everything("alerts", **wanted)

    async def user(self, user: str) -> Any:
        async with reading(self.stack.api_url, self.stack.api_key) as reader:
            return await reader.get(f"/v1/users/{user}")

    async def told(self, calls: int) -> list[Received]:
        """Wait for so many calls; return them all."""
        await until(
            lambda: len(self.target.received) >= calls,
            RETRIED_WITHIN_S,
            lambda: [got.body for got in self.target.received],
        )
        return list(self.target.received)

    async def all_told(self) -> list[Received]:
        """Wait until every notice has been taken, so that none is sent any more; return the calls."""
        connection = await asyncpg.connect(self.stack.database.owner)
        pending = "SELECT count(*) FROM notifications WHERE state = 'pending'"
        try:
            async with asyncio.timeout(RETRIED_WITHIN_S):
                while await connection.fetchval(pending):  # noqa: ASYNC110  a row rings no bell
                    await asyncio.sleep(0.1)
        finally:
            await connection.close()
        return list(self.target.received)


@asynccontextmanager
async def watched(directory: Path, postgres: str) -> AsyncIterator[Watched]:
    async with receiver() as target:
        settings = {
            "EBBTIDE_ALERTS_WEBHOOK_URL": f"http://127.0.0.1:{target.port}/on-call",
            "EBBTIDE_ALERTS_WEBHOOK_SECRET": SECRET,
            "EBBTIDE_ALERTS_WEBHOOK_ALLOW_LOCAL": "true",
        }
        async with Stack(
            directory / "stack", postgres=postgres, settings=settings, begins=START
        ) as stack:
            yield Watched(stack, target)


@pytest_asyncio.fixture
async def system(tmp_path: Path, postgres_url: str) -> AsyncIterator[Watched]:
    async with watched(tmp_path, postgres_url) as made:
        yield made


def genuine(got: Received) -> bool:
    """Verify a call as its receiver would, from the words of docs/alerts.md alone."""
    timestamp = got.headers["ebbtide-timestamp"]
    digest = hmac.new(SECRET.encode(), f"{timestamp}.".encode() + got.body, hashlib.sha256)
    fresh = abs(SystemClock().now().timestamp() - int(timestamp)) < 300
    return fresh and got.headers["ebbtide-signature"] == "v1=" + digest.hexdigest()


def notice(got: Received) -> tuple[str, str, str | None]:
    """Return what a call tells: its type, the alert's state, and why it ended."""
    body = json.loads(got.body)
    return body["type"], body["alert"]["state"], body["alert"].get("resolution")


def delivery(got: Received) -> str:
    return got.headers["ebbtide-delivery"]


async def test_a_churn_reaches_the_webhook_and_so_does_the_return(system: Watched) -> None:
    await system.acts("ada")
    await system.goes_on_to(START)
    assert (await system.user("ada"))["lifecycle"] == "new"

    system.target.answers.append(BROKEN)
    await system.goes_on_to(CHURNED)
    [alert] = await system.alerts()
    calls = await system.told(2)

    assert (await system.user("ada"))["lifecycle"] == "churned"
    assert (alert["state"], alert["user_id"], alert["kind"]) == ("firing", "ada", "user_churned")
    assert datetime.fromisoformat(alert["fired_at"]) == CHURNED
    assert datetime.fromisoformat(alert["evidence"]["last_seen"]) == START
    assert calls[0].body == calls[1].body
    assert delivery(calls[0]) == delivery(calls[1])
    assert notice(calls[1]) == ("alert.fired", "firing", None)

    back = CHURNED + timedelta(days=2)
    system.stack.drive(back)
    await system.acts("ada")
    await system.goes_on_to(back)
    [alert] = await system.alerts()
    await system.told(3)
    calls = await system.all_told()

    assert (await system.user("ada"))["lifecycle"] == "returned"
    assert (alert["state"], alert["resolution"]) == ("resolved", "user_returned")
    assert datetime.fromisoformat(alert["resolved_at"]) == back
    assert notice(calls[2]) == ("alert.resolved", "resolved", "user_returned")
    assert json.loads(calls[2].body)["alert"]["alert_id"] == alert["alert_id"]
    assert len(calls) == 3  # each taken once: the first call was answered 500
    assert len({delivery(got) for got in calls}) == 2
    assert all(genuine(got) for got in calls)


async def test_a_late_event_that_contradicts_the_churn_takes_the_alert_back(
    system: Watched,
) -> None:
    used = START + timedelta(days=10)
    await system.acts("ada")
    await system.goes_on_to(CHURNED)
    [fired] = await system.alerts()
    await system.told(1)

    await system.acts("ada", at=used)
    await system.goes_on_to(CHURNED + SECOND)

    assert (await system.user("ada"))["lifecycle"] == "silent"
    [taken_back] = await system.alerts()
    assert taken_back["alert_id"] == fired["alert_id"]
    assert (taken_back["state"], taken_back["resolution"]) == ("resolved", "retracted")
    calls = await system.told(2)
    assert [notice(got) for got in calls] == [
        ("alert.fired", "firing", None),
        ("alert.resolved", "resolved", "retracted"),
    ]

    await system.goes_on_to(used + timedelta(days=30))

    [again] = await system.alerts(state="firing")
    assert again["alert_id"] != fired["alert_id"]
    assert datetime.fromisoformat(again["fired_at"]) == used + timedelta(days=30)
    await system.told(3)
    calls = await system.all_told()
    assert len(calls) == len({delivery(got) for got in calls}) == 3
    assert all(genuine(got) for got in calls)
