"""Delivery with a real Postgres and a real HTTP server: what was sent, how often, in which order."""

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass

import asyncpg
import pytest
import pytest_asyncio

from services.alerts.domain.alert import Change
from services.alerts.domain.delivery import RetryPolicy
from services.alerts.outbound.alert_store import AlertStore
from services.alerts.outbound.channels.webhook import Webhook, WebhookTarget
from services.alerts.outbound.notification_store import PostgresNotifications
from services.alerts.usecases.deliver import DeliveryLimits, deliver_due
from services.alerts.usecases.warn_of_churn import warn_of_churn
from shared.clock import SystemClock
from shared.database.connection import Connection
from shared.errors import StoreUnavailable
from tests.integration.alerts.receiver import Receiver, answer, receiver
from tests.servers import Database
from tests.unit.alerts.builders import NOW, churned, day, returned

pytestmark = pytest.mark.postgres

SOON = RetryPolicy(first_wait_s=0.0)


@pytest_asyncio.fixture
async def target() -> AsyncIterator[Receiver]:
    async with receiver() as running:
        yield running


@pytest_asyncio.fixture
async def connection(database: Database) -> AsyncIterator[Connection]:
    opened = await asyncpg.connect(database.alerts)
    yield opened
    await opened.close()


@dataclass(frozen=True, slots=True)
class Sender:
    channel: Webhook
    store: PostgresNotifications

    async def look(self) -> int:
        attempts = await deliver_due(
            self.channel, self.store, policy=SOON, limits=DeliveryLimits(), draw=lambda: 0.0
        )
        return len(attempts)

    async def drain(self) -> None:
        while await self.look():
            pass


@asynccontextmanager
async def process(database: Database, target: Receiver) -> AsyncIterator[Sender]:
    """One process's delivery: connections of its own."""
    channel = Webhook(
        WebhookTarget(
            url=f"http://127.0.0.1:{target.port}/", secret="some-secret", allow_local=True
        ),
        clock=SystemClock(),
    )
    store = PostgresNotifications(database.alerts, application_name="test")
    try:
        yield Sender(channel, store)
    finally:
        await channel.close()
        await store.close()


async def warn(connection: Connection, *changes: Change) -> None:
    async with connection.transaction():
        await warn_of_churn(changes, book=AlertStore(connection), channels=["webhook"], now=NOW)


async def states(connection: Connection) -> list[tuple[str, str, int]]:
    rows = await connection.fetch("SELECT step, state, attempts FROM notifications ORDER BY 1")
    return [tuple(row) for row in rows]


async def test_a_notice_is_sent_again_after_a_crash_between_sending_and_recording(
    database: Database, connection: Connection, target: Receiver
) -> None:
    await warn(connection, churned(day(30)))
    async with process(database, target) as doomed:
        [claimed] = await doomed.store.claim("webhook", limit=1, lease_s=60)
        await doomed.channel.send(claimed.body, delivery_id=claimed.delivery_id)
        # It dies here: nothing is recorded.
    await connection.execute("UPDATE notifications SET leased_until = now() - interval '1 s'")

    async with process(database, target) as heir:
        await heir.look()

    first, second = target.received
    assert first.headers["ebbtide-delivery"] == second.headers["ebbtide-delivery"]
    assert first.body == second.body
    assert await states(connection) == [("fired", "delivered", 2)]


async def test_several_processes_send_each_notice_once(
    database: Database, connection: Connection, target: Receiver
) -> None:
    await warn(connection, *(churned(day(30), user=f"u-{number}") for number in range(60)))

    async with (
        process(database, target) as one,
        process(database, target) as two,
        process(database, target) as three,
    ):
        await asyncio.gather(one.drain(), two.drain(), three.drain())

    sent = Counter(got.headers["ebbtide-delivery"] for got in target.received)
    assert len(sent) == 60
    assert set(sent.values()) == {1}
    assert {row[1] for row in await states(connection)} == {"delivered"}


async def test_the_resolution_follows_its_firing_through_failures(
    database: Database, connection: Connection, target: Receiver
) -> None:
    await warn(connection, churned(day(30)), returned(day(40)))
    target.answers = [answer("503 Service Unavailable"), b"", answer("200 OK")]

    async with process(database, target) as one, process(database, target) as two:
        await asyncio.gather(one.drain(), two.drain())
        await one.drain()

    told = [json.loads(got.body)["type"] for got in target.received]
    assert told == ["alert.fired", "alert.fired", "alert.fired", "alert.resolved"]
    assert await states(connection) == [("fired", "delivered", 3), ("resolved", "delivered", 1)]


async def test_what_is_refused_for_good_stays_visible_with_the_reason(
    database: Database, connection: Connection, target: Receiver
) -> None:
    await warn(connection, churned(day(30)))
    target.answers = [answer("410 Gone")]

    async with process(database, target) as one:
        await one.drain()

    row = await connection.fetchrow("SELECT state, last_result, settled_at FROM notifications")
    assert (row["state"], row["last_result"]) == ("given_up", "http 410")
    assert row["settled_at"] is not None


async def test_the_store_says_so_when_the_database_is_away() -> None:
    store = PostgresNotifications("postgresql://x:y@127.0.0.1:1/none", application_name="test")

    with pytest.raises(StoreUnavailable):
        await store.pending()

    await store.close()


async def test_the_store_finds_the_database_again_after_its_connections_were_cut(
    database: Database, postgres_url: str
) -> None:
    store = PostgresNotifications(database.alerts, application_name="to-be-cut")
    assert await store.pending() == {}
    superuser = await asyncpg.connect(postgres_url)
    await superuser.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'to-be-cut'"
    )
    await superuser.close()

    outcomes: list[Mapping[str, int] | None] = []
    for _ in range(3):
        try:
            outcomes.append(await store.pending())
        except StoreUnavailable:
            outcomes.append(None)

    assert outcomes[-1] == {}
    await store.close()
