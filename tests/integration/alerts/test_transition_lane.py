"""The transitions lane on a real Postgres, record by record, and through real lanes on Kafka."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import asyncpg
import msgspec
import pytest
import pytest_asyncio
from prometheus_client import CollectorRegistry

from services.alerts.inbound.delivery_loop import DeliveryLoop, Pace
from services.alerts.inbound.transition_lane import SEEN_FOR, TransitionLane
from services.alerts.outbound.alert_store import AlertStore
from services.alerts.outbound.channels.webhook import Webhook, WebhookTarget
from services.alerts.outbound.notification_store import PostgresNotifications
from shared.clock import SystemClock
from shared.contracts import topics
from shared.contracts.codec import decode_alert, encode
from shared.contracts.transitions import Evidence, TransitionMessage
from shared.database.connection import Connection
from shared.kafka.durable_log import DurableLog
from shared.kafka.log import LogRecord, Outcome
from shared.kafka.provision import ProvisionSettings, provision
from shared.kafka.records import Record
from shared.lanes.keeper import Lanes
from shared.lanes.work import Applied, Batch
from shared.observability.metrics import Metrics
from shared.vocabulary import (
    AlertState,
    Lifecycle,
    TransitionKind,
    TransitionReason,
    TransitionStatus,
)
from tests.integration.alerts.receiver import Receiver, receiver
from tests.servers import Database, MakeTopic
from tests.unit.alerts.builders import NOW, day, transition_id

pytestmark = pytest.mark.postgres


def message(after: Lifecycle, at: float, *, user: str = "u-1", **fields: Any) -> TransitionMessage:
    values: dict[str, Any] = {
        "transition_id": transition_id(user, after, day(at)),
        "user_id": user,
        "kind": TransitionKind.LIFECYCLE,
        "before": Lifecycle.SILENT,
        "after": after,
        "at": day(at),
        "recorded_at": day(at),
        "reason": TransitionReason.TIME_PASSED,
        "policy_version": 1,
        "evidence": Evidence(last_seen=day(at - 30), silent_for_s=30 * 86_400.0),
        **fields,
    }
    return TransitionMessage(**values)


def retracted(one: TransitionMessage) -> TransitionMessage:
    return msgspec.structs.replace(
        one, status=TransitionStatus.RETRACTED, retracted_because="a late event"
    )


def batch(*values: bytes, part: int = 0) -> Batch:
    records = [
        Record(offset, timestamp_ms=0, key=b"u-1", value=value)
        for offset, value in enumerate(values)
    ]
    return Batch(
        group="alerts",
        topic=topics.TRANSITIONS.name,
        part=part,
        records=records,
        now=NOW,
        watermark=NOW,
    )


def lane(metrics: Metrics, *, alerted: Callable[[], None] = lambda: None) -> TransitionLane:
    return TransitionLane(book=AlertStore, channels=["webhook"], metrics=metrics, alerted=alerted)


@pytest.fixture
def metrics() -> Metrics:
    return Metrics(CollectorRegistry())


@pytest_asyncio.fixture
async def connection(database: Database) -> AsyncIterator[Connection]:
    opened = await asyncpg.connect(database.alerts)
    yield opened
    await opened.close()


async def apply(connection: Connection, metrics: Metrics, given: Batch) -> Applied:
    async with connection.transaction():
        return await lane(metrics).apply(connection, given)


async def test_a_churn_and_a_return_leave_one_resolved_alert_and_two_of_everything(
    connection: Connection, metrics: Metrics
) -> None:
    churn, back = message(Lifecycle.CHURNED, 30), message(Lifecycle.RETURNED, 40)

    applied = await apply(connection, metrics, batch(encode(churn), encode(back), encode(churn)))

    [alert] = await connection.fetch("SELECT * FROM alerts")
    assert (alert["state"], alert["resolution"]) == ("resolved", "user_returned")
    assert (alert["fired_at"], alert["resolved_at"]) == (day(30), day(40))
    assert json.loads(alert["evidence"])["silent_for_s"] == 30 * 86_400
    steps = await connection.fetch("SELECT step FROM notifications ORDER BY notification_id")
    assert [row["step"] for row in steps] == ["fired", "resolved"]
    told = [decode_alert(one.value) for one in applied.messages]
    assert [one.state for one in told] == [AlertState.FIRING, AlertState.RESOLVED]
    assert {one.topic for one in applied.messages} == {topics.ALERTS.name}
    assert {one.key for one in applied.messages} == {str(alert["alert_id"]).encode()}
    assert applied.refused == []


async def test_nothing_is_left_where_the_transaction_is_rolled_back(
    connection: Connection, metrics: Metrics
) -> None:
    given = batch(encode(message(Lifecycle.CHURNED, 30)))
    transaction = connection.transaction()
    await transaction.start()
    first = await lane(metrics).apply(connection, given)
    await transaction.rollback()

    second = await apply(connection, metrics, given)

    assert second.messages == first.messages
    assert await connection.fetchval("SELECT count(*) FROM alerts") == 1


async def test_metrics_and_the_wake_up_come_after_the_commit_only(
    connection: Connection, metrics: Metrics
) -> None:
    woken: list[bool] = []
    work = lane(metrics, alerted=lambda: woken.append(True))
    async with connection.transaction():
        applied = await work.apply(connection, batch(encode(message(Lifecycle.CHURNED, 30))))
        assert woken == []
        assert metrics.registry.get_sample_value(*fired()) is None

    for done in applied.after_commit:
        done()

    assert woken == [True]
    assert metrics.registry.get_sample_value(*fired()) == 1.0


def fired() -> tuple[str, dict[str, str]]:
    return "ebbtide_alerts_fired_total", {"kind": "user_churned"}


GOOD = encode(message(Lifecycle.CHURNED, 30))


@pytest.mark.parametrize(
    ("value", "field"),
    [
        (b"", None),
        (b"not json", None),
        (b"{}", None),
        (b"\xff\xfe", None),
        (b"[" * 100_000, None),
        (GOOD.replace(b'"lifecycle"', b"7"), None),
        (GOOD.replace(b'"user_id":"u-1"', b'"user_id":""'), "user_id"),
        (GOOD.replace(b"Z", b""), "at"),
        (
            GOOD.replace(
                b'"last_seen":"2026-01-01T00:00:00Z"', b'"last_seen":"2026-01-01T00:00:00"'
            ),
            "evidence.last_seen",
        ),
    ],
    ids=["empty", "text", "no fields", "no utf-8", "deep", "kind", "user", "naive", "evidence"],
)
async def test_what_is_no_transition_is_refused_and_its_neighbours_are_kept(
    connection: Connection, metrics: Metrics, value: bytes, field: str | None
) -> None:
    before, after = (encode(message(Lifecycle.CHURNED, 30, user=user)) for user in ("a", "b"))

    applied = await apply(connection, metrics, batch(before, value, after))

    [refused] = applied.refused
    assert refused.record.value == value
    assert (refused.code, refused.field) == ("invalid_transition", field)
    assert refused.reason
    assert await connection.fetchval("SELECT count(*) FROM alerts") == 2


async def test_a_kind_of_transition_from_a_newer_segmenter_is_passed_over(
    connection: Connection, metrics: Metrics
) -> None:
    newer = GOOD.replace(b'"lifecycle"', b'"value_tier"').replace(b'"churned"', b'"core"')

    applied = await apply(connection, metrics, batch(newer))

    assert (applied.refused, applied.messages) == ([], [])


async def test_what_was_seen_long_ago_is_forgotten_by_the_lane_of_partition_0(
    connection: Connection, metrics: Metrics
) -> None:
    await apply(connection, metrics, batch(GOOD))
    later = replace(batch(), now=NOW + SEEN_FOR + timedelta(seconds=1))

    await apply(connection, metrics, replace(later, part=1))
    assert await connection.fetchval("SELECT count(*) FROM seen_transitions") == 1
    await apply(connection, metrics, later)

    assert await connection.fetchval("SELECT count(*) FROM seen_transitions") == 0


def test_what_was_seen_is_kept_longer_than_the_topic_keeps_a_record() -> None:
    retention = topics.TRANSITIONS.retention_ms
    assert retention is not None
    assert timedelta(milliseconds=retention) < SEEN_FOR


@pytest.mark.kafka
async def test_a_churn_on_the_topic_reaches_the_webhook_and_the_return_resolves_it(
    database: Database, kafka_bootstrap: str, topic: MakeTopic, metrics: Metrics
) -> None:
    transitions = await topic(partitions=2)
    await provision(
        kafka_bootstrap,
        ProvisionSettings(kafka_bootstrap=kafka_bootstrap, clock_file=Path("driven")),
        wanted=(topics.ALERTS,),
    )
    async with (
        receiver() as target,
        running(database, kafka_bootstrap, transitions, target, metrics) as log,
    ):
        churn = message(Lifecycle.CHURNED, 30)
        await produce(log, transitions, [encode(churn), b"broken", encode(churn)])
        await until(lambda: told(target) == ["alert.fired"])
        await produce(log, transitions, [encode(message(Lifecycle.RETURNED, 40))])
        await until(lambda: told(target) == ["alert.fired", "alert.resolved"])

        connection = await asyncpg.connect(database.owner)
        dead = await connection.fetch("SELECT code, value FROM dead_letters")
        assert [tuple(row) for row in dead] == [("invalid_transition", b"broken")]
        await until_row(connection, "SELECT count(*) = 0 FROM outbox")
        await connection.close()
    assert metrics.registry.get_sample_value(*fired()) == 1.0


@asynccontextmanager
async def running(
    database: Database, bootstrap: str, transitions: str, target: Receiver, metrics: Metrics
) -> AsyncIterator[DurableLog]:
    """The service's parts, as its wiring puts them together, on a topic of the test's own."""
    log = DurableLog(bootstrap=bootstrap, metrics=metrics, client_id="test-alerts")
    url = f"http://127.0.0.1:{target.port}/"
    channel = Webhook(
        WebhookTarget(url=url, secret="some-secret", allow_local=True), clock=SystemClock()
    )
    store = PostgresNotifications(database.alerts, application_name="test")
    delivery = DeliveryLoop(
        channels=[channel], store=store, metrics=metrics, draw=lambda: 0.5, pace=Pace()
    )
    lanes = Lanes(
        group=f"alerts-{uuid4().hex[:8]}",
        worker="test",
        topics=[transitions],
        work=lane(metrics, alerted=delivery.wake),
        clock=SystemClock(),
        metrics=metrics,
        bootstrap=bootstrap,
        dsn=database.alerts,
        log=log,
    )
    await log.start()
    await delivery.start()
    await lanes.start()
    try:
        yield log
    finally:
        await lanes.stop()
        await delivery.stop()
        await log.close()
        await channel.close()
        await store.close()


async def produce(log: DurableLog, to: str, values: Sequence[bytes]) -> None:
    """Append one by one, in order; a log that has just begun is busy at first."""
    now_ms = int(SystemClock().now().timestamp() * 1000)
    async with asyncio.timeout(30):
        for value in values:
            record = LogRecord(to, b"u-1", value, timestamp_ms=now_ms)
            while (outcome := (await log.append_many([record]))[0]) is Outcome.BUSY:  # noqa: ASYNC110
                await asyncio.sleep(0.05)
            assert outcome is Outcome.ACCEPTED


def told(target: Receiver) -> list[str]:
    return [json.loads(got.body)["type"] for got in target.received]


async def until(true: Callable[[], bool], *, within_s: float = 30.0) -> None:
    async with asyncio.timeout(within_s):
        while not true():  # noqa: ASYNC110  bounded polling of a real process
            await asyncio.sleep(0.02)


async def until_row(connection: Connection, query: str) -> None:
    async with asyncio.timeout(30):
        while not await connection.fetchval(query):  # noqa: ASYNC110
            await asyncio.sleep(0.05)
