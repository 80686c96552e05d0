"""The api's application as its wiring builds it, on a real Postgres and a clock that a test holds."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import httpx
from fastapi import FastAPI
from prometheus_client import CollectorRegistry

from services.api.inbound.access import Access
from services.api.inbound.answers import Ages
from services.api.inbound.app import Changes, build_app
from services.api.outbound.funnel_writer import PostgresFunnelDefinitions
from services.api.outbound.policy_writer import PostgresPolicyChanges
from services.api.outbound.snapshots import COMMAND_S, PostgresSnapshots
from shared.http.keys import KeyBook
from shared.http.probes import Health
from shared.observability.metrics import Metrics
from tests.integration.api.rows import GROUP, NOON

KEY = "a-key-of-the-tests"
READER = "a-key-that-may-only-read"


class HeldClock:
    """Product time stands where the test puts it."""

    def __init__(self, at: datetime) -> None:
        self.at = at

    def now(self) -> datetime:
        return self.at


@dataclass(frozen=True, slots=True)
class Site:
    app: FastAPI
    client: httpx.AsyncClient
    clock: HeldClock

    async def get(self, path: str, **params: Any) -> dict[str, Any]:
        """Return the answer to a question that must be answered."""
        answer = await self.client.get(path, params=params)
        assert answer.status_code == 200, answer.text
        body: dict[str, Any] = answer.json()
        return body

    async def refused(self, path: str, **params: Any) -> dict[str, Any]:
        """Return the problem with which a question is refused."""
        answer = await self.client.get(path, params=params)
        assert 400 <= answer.status_code < 500, answer.text
        assert answer.headers["content-type"] == "application/problem+json"
        problem: dict[str, Any] = answer.json()
        assert problem["status"] == answer.status_code
        return problem

    async def pages(self, path: str, listing: str, **params: Any) -> Sequence[Sequence[Any]]:
        """Return every page of a list, following the cursors to its end."""
        pages: list[list[Any]] = []
        while True:
            body = await self.get(path, **params)
            pages.append(body[listing])
            if body["next_cursor"] is None:
                return pages
            assert len(pages) < 100, "the pages do not end"
            params["cursor"] = body["next_cursor"]


@asynccontextmanager
async def site(dsn: str, *, command_s: float = COMMAND_S) -> AsyncIterator[Site]:
    snapshots = PostgresSnapshots(dsn, group=GROUP, command_s=command_s)
    metrics = Metrics(CollectorRegistry())
    clock = HeldClock(NOON)
    funnels, policies = PostgresFunnelDefinitions(dsn), PostgresPolicyChanges(dsn)
    app = build_app(
        snapshots,
        Changes(funnels, policies, policies.jobs, clock),
        access=Access(KeyBook({KEY: "tests", READER: "reader"}), writers=["tests"]),
        ages=Ages(clock, metrics),
        ready=lambda: Health(ok=True),
        live=lambda: Health(ok=True),
        metrics=metrics,
    )
    try:
        async with httpx.AsyncClient(
            transport=httpx.ASGITransport(app=app),
            base_url="http://api",
            headers={"authorization": f"Bearer {KEY}"},
        ) as client:
            yield Site(app, client, clock)
    finally:
        await snapshots.stop()
        await funnels.stop()
        await policies.stop()
