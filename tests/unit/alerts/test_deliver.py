import json
from uuid import UUID

import pytest

from services.alerts.domain.delivery import Answer, Result, RetryPolicy
from services.alerts.domain.notice import Step, delivery_id_of
from services.alerts.usecases.deliver import Attempted, DeliveryLimits, deliver_due
from services.alerts.usecases.ports import Claimed
from services.alerts.usecases.warn_of_churn import warn_of_churn
from shared.errors import StoreUnavailable
from tests.unit.alerts.builders import NOW, churned, day, returned
from tests.unit.alerts.fakes import (
    FakeAlertBook,
    FakeDatabase,
    FakeNotifications,
    ScriptedChannel,
)

POLICY = RetryPolicy()
BUSY = Answer(Result.RETRY_AFTER, "http 503")


async def alerted(*, users: int = 1, came_back: bool = False) -> FakeDatabase:
    database = FakeDatabase()
    changes = [churned(day(30), user=f"u-{number}") for number in range(users)]
    if came_back:
        changes += [returned(day(40), user=f"u-{number}") for number in range(users)]
    await warn_of_churn(changes, book=FakeAlertBook(database), channels=["webhook"], now=NOW)
    return database


async def deliver(database: FakeDatabase, channel: ScriptedChannel) -> list[Attempted]:
    return await deliver_due(
        channel,
        FakeNotifications(database),
        policy=POLICY,
        limits=DeliveryLimits(at_once=4),
        draw=lambda: 1.0,
    )


async def test_what_is_due_is_sent_once_and_recorded() -> None:
    database, channel = await alerted(), ScriptedChannel()

    await deliver(database, channel)
    await deliver(database, channel)

    [(delivery_id, body)] = channel.sent
    assert delivery_id == delivery_id_of(database.rows[0].notice.alert_id, "fired", "webhook")
    assert json.loads(body)["type"] == "alert.fired"
    assert database.rows[0].state == "delivered"


async def test_one_look_sends_no_more_than_its_limit() -> None:
    database, channel = await alerted(users=6), ScriptedChannel()

    assert len(await deliver(database, channel)) == 4
    assert len(await deliver(database, channel)) == 2


async def test_a_failure_is_tried_again_after_its_wait_under_the_same_delivery_id() -> None:
    database, channel = await alerted(), ScriptedChannel(BUSY)
    await deliver(database, channel)
    assert await deliver(database, channel) == []

    database.clock_s += 5
    await deliver(database, channel)

    assert len({delivery_id for delivery_id, _ in channel.sent}) == 1
    assert len(channel.sent) == 2
    assert database.rows[0].state == "delivered"


async def test_a_process_that_dies_after_sending_leaves_the_notice_to_be_sent_again() -> None:
    database, channel = await alerted(), ScriptedChannel()
    [claimed] = await FakeNotifications(database).claim("webhook", limit=1, lease_s=60)
    await channel.send(claimed.body, delivery_id=claimed.delivery_id)

    assert await deliver(database, channel) == []
    database.clock_s += 61
    await deliver(database, channel)

    first, second = channel.sent
    assert first == second
    assert database.rows[0].state == "delivered"


async def test_a_target_that_stays_away_is_given_up_and_stays_visible() -> None:
    database, channel = await alerted(), ScriptedChannel(*[BUSY] * 20)

    while database.rows[0].state == "pending":
        await deliver(database, channel)
        database.clock_s += POLICY.longest_wait_s

    assert database.rows[0].state == "given_up"
    assert database.rows[0].last_result is not None
    assert database.rows[0].last_result.startswith("http 503")
    assert 2 <= len(channel.sent) <= POLICY.attempts


async def test_the_resolution_waits_until_the_firing_was_told() -> None:
    database, channel = await alerted(came_back=True), ScriptedChannel(BUSY)

    await deliver(database, channel)
    assert [row.state for row in database.rows] == ["pending", "pending"]
    database.clock_s += 5
    await deliver(database, channel)
    await deliver(database, channel)

    told = [json.loads(body)["type"] for _, body in channel.sent]
    assert told == ["alert.fired", "alert.fired", "alert.resolved"]


async def test_a_resolution_is_not_told_when_the_firing_was_given_up() -> None:
    gone = Answer(Result.PERMANENT, "http 410")
    database, channel = await alerted(came_back=True), ScriptedChannel(gone)

    await deliver(database, channel)
    await deliver(database, channel)

    assert len(channel.sent) == 1
    assert [row.state for row in database.rows] == ["given_up", "given_up"]
    assert database.rows[1].notice.step is Step.RESOLVED
    assert database.rows[1].last_result == "nobody was told of the alert"


class BrokenOnceChannel(ScriptedChannel):
    """Raises, against its contract, at the first send."""

    def __init__(self) -> None:
        super().__init__()
        self.broken = True

    async def send(self, body: bytes, *, delivery_id: UUID) -> Answer:
        if self.broken:
            self.broken = False
            raise OverflowError("the target's own text")
        return await super().send(body, delivery_id=delivery_id)


async def test_a_send_that_fails_as_nobody_foresaw_is_tried_again_and_the_others_are_sent() -> None:
    database, channel = await alerted(users=2), BrokenOnceChannel()

    attempts = await deliver(database, channel)
    assert attempts[0].answer == Answer(Result.UNKNOWN, "not foreseen: OverflowError")
    assert [row.state for row in database.rows] == ["pending", "delivered"]
    database.clock_s += 5
    await deliver(database, channel)

    assert [row.state for row in database.rows] == ["delivered", "delivered"]


class ForgetfulStore(FakeNotifications):
    """Loses the database while recording the first attempt."""

    def __init__(self, database: FakeDatabase) -> None:
        super().__init__(database)
        self.lost: UUID | None = None

    async def delivered(self, claimed: Claimed, *, detail: str) -> None:
        if self.lost is None:
            self.lost = claimed.delivery_id
            raise StoreUnavailable("gone")
        await super().delivered(claimed, detail=detail)


async def test_losing_the_store_for_one_notice_does_not_lose_the_others() -> None:
    database, channel = await alerted(users=3), ScriptedChannel()
    store = ForgetfulStore(database)

    with pytest.raises(StoreUnavailable):
        await deliver_due(channel, store, policy=POLICY, limits=DeliveryLimits(), draw=lambda: 1.0)

    assert sorted(row.state for row in database.rows) == ["delivered", "delivered", "pending"]
