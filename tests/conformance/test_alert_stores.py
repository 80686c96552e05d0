"""What alerts' two stores promise, asked of the fakes and of Postgres alike."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from uuid import uuid4

import asyncpg
import pytest
import pytest_asyncio

from services.alerts.domain.alert import Alert, Resolution, raise_alert, resolve
from services.alerts.domain.notice import Step, delivery_id_of, notice
from services.alerts.outbound.alert_store import AlertStore
from services.alerts.outbound.notification_store import PostgresNotifications
from services.alerts.usecases.ports import AlertBook, Claimed, NotificationStore
from shared.vocabulary import UserId
from tests.servers import Database
from tests.unit.alerts.builders import NOW, churned, day, retraction, returned
from tests.unit.alerts.fakes import FakeAlertBook, FakeDatabase, FakeNotifications

OpenBook = Callable[[], AbstractAsyncContextManager[AlertBook]]


@dataclass(frozen=True, slots=True)
class Stores:
    """Both stores over one database, and a way to make its clock's time pass."""

    book: OpenBook  # one transaction, committed at its end
    notifications: NotificationStore
    pass_time: Callable[[float], Awaitable[None]]


async def fake_stores() -> AsyncIterator[Stores]:
    database = FakeDatabase()

    @asynccontextmanager
    async def book() -> AsyncIterator[AlertBook]:
        yield FakeAlertBook(database)

    async def pass_time(seconds: float) -> None:
        database.clock_s += seconds

    yield Stores(book, FakeNotifications(database), pass_time)


async def postgres_stores(database: Database) -> AsyncIterator[Stores]:
    connection = await asyncpg.connect(database.alerts)
    notifications = PostgresNotifications(database.alerts, application_name="test")

    @asynccontextmanager
    async def book() -> AsyncIterator[AlertBook]:
        async with connection.transaction():
            yield AlertStore(connection)

    async def pass_time(seconds: float) -> None:
        # The server's clock can't be moved, so the rows' own times move into the past instead.
        await connection.execute(
            "UPDATE notifications SET next_attempt_at = next_attempt_at - $1::interval,"
            " leased_until = leased_until - $1::interval, created_at = created_at - $1::interval",
            timedelta(seconds=seconds),
        )

    try:
        yield Stores(book, notifications, pass_time)
    finally:
        await notifications.close()
        await connection.close()


@pytest.fixture(params=["fake", pytest.param("postgres", marks=pytest.mark.postgres)])
def real_database(request: pytest.FixtureRequest) -> Database | None:
    if request.param == "fake":
        return None
    database: Database = request.getfixturevalue("database")
    return database


@pytest_asyncio.fixture
async def stores(real_database: Database | None) -> AsyncIterator[Stores]:
    made = fake_stores() if real_database is None else postgres_stores(real_database)
    async for one in made:
        yield one


async def fire(stores: Stores, alert: Alert, *, told: bool = True) -> Alert:
    async with stores.book() as book:
        await book.save([alert])
        if told:
            await book.intend([notice(alert, Step.FIRED, "webhook")])
    return alert


def alert_of(user: str = "u-1", at: float = 30) -> Alert:
    return raise_alert(churned(day(at), user=user), now=NOW)


async def claim(stores: Stores, *, limit: int = 10) -> list[Claimed]:
    return await stores.notifications.claim("webhook", limit=limit, lease_s=60)


async def test_a_change_is_new_once_by_transition_and_status(stores: Stores) -> None:
    one, other = churned(day(30)), churned(day(31))
    async with stores.book() as book:
        first = await book.unseen([one, one, retraction(one), other], now=NOW)

    async with stores.book() as book:
        second = await book.unseen([other, churned(day(32)), one], now=NOW)

    assert first == [one, retraction(one), other]
    assert second == [churned(day(32))]


async def test_retractions_that_were_met_are_known(stores: Stores) -> None:
    one, other = churned(day(30)), churned(day(31))
    async with stores.book() as book:
        await book.unseen([retraction(one), other], now=NOW)

        known = await book.retracted([one.transition_id, other.transition_id, uuid4()])

    assert known == {one.transition_id}


async def test_the_latest_change_is_the_last_that_was_met_and_not_taken_back(
    stores: Stores,
) -> None:
    churn, back, mistaken, now = churned(day(30)), returned(day(40)), returned(day(50)), day(60)
    async with stores.book() as book:
        await book.unseen([back, churn, mistaken, churned(day(9), user="u-2")], now=now)
        await book.unseen([retraction(mistaken), retraction(churned(day(55)))], now=now)
        users = [UserId("u-1"), UserId("u-2"), UserId("u-3")]

        known = await book.latest(users, besides=[])
        others = await book.latest(users[:1], besides=[back.transition_id])
        none = await book.latest(users[:1], besides=[back.transition_id, churn.transition_id])

    assert known == {"u-1": day(40), "u-2": day(9)}
    assert (others, none) == ({"u-1": day(30)}, {})


async def test_what_was_seen_long_ago_is_forgotten_a_few_at_a_time(stores: Stores) -> None:
    changes = [churned(day(number)) for number in range(5)]
    async with stores.book() as book:
        await book.unseen(changes, now=day(0))
        await book.unseen([churned(day(9))], now=day(50))

        forgotten = [await book.forget_seen(day(10), limit=3) for _ in range(3)]

        assert forgotten == [3, 2, 0]
        assert await book.unseen([changes[0]], now=day(50)) == [changes[0]]
        assert await book.unseen([churned(day(9))], now=day(50)) == []


async def test_an_alert_is_read_back_as_it_was_saved(stores: Stores) -> None:
    alert = await fire(stores, alert_of())

    async with stores.book() as book:
        assert await book.alerts(firing_of=[UserId("u-1")], ids=[]) == [alert]
        assert await book.alerts(firing_of=[], ids=[alert.alert_id]) == [alert]
        assert await book.alerts(firing_of=[UserId("u-2")], ids=[uuid4()]) == []


async def test_a_resolved_alert_is_found_by_id_only_and_never_reopened(stores: Stores) -> None:
    alert = await fire(stores, alert_of())
    ended = resolve(alert, at=day(40), resolution=Resolution.USER_RETURNED)
    async with stores.book() as book:
        await book.save([ended])
        await book.save([alert])
        await book.save([replace(ended, resolution=Resolution.RETRACTED)])

        assert await book.alerts(firing_of=[UserId("u-1")], ids=[]) == []
        assert await book.alerts(firing_of=[], ids=[alert.alert_id]) == [ended]


async def test_one_alert_ends_and_the_next_begins_in_one_save(stores: Stores) -> None:
    first, second = await fire(stores, alert_of(at=30)), alert_of(at=90)
    async with stores.book() as book:
        await book.save([resolve(first, at=day(90), resolution=Resolution.USER_RETURNED), second])

        assert await book.alerts(firing_of=[UserId("u-1")], ids=[]) == [second]


async def test_a_notice_is_claimed_by_one_caller_until_its_lease_ends(stores: Stores) -> None:
    alert = await fire(stores, alert_of())

    [claimed] = await claim(stores)

    assert claimed.delivery_id == delivery_id_of(alert.alert_id, Step.FIRED, "webhook")
    assert (claimed.attempt, claimed.abandoned) == (1, False)
    assert await claim(stores) == []
    await stores.pass_time(59)
    assert await claim(stores) == []
    await stores.pass_time(2)
    [again] = await claim(stores)
    assert (again.attempt, again.delivery_id) == (2, claimed.delivery_id)
    assert again.body == claimed.body
    assert 61 <= again.age_s < 120


async def test_an_intent_is_stored_once(stores: Stores) -> None:
    alert = await fire(stores, alert_of())
    await fire(stores, alert)

    assert len(await claim(stores)) == 1


async def test_no_more_is_claimed_than_asked_for_and_the_oldest_first(stores: Stores) -> None:
    for number in range(3):
        await fire(stores, alert_of(user=f"u-{number}"))
        await stores.pass_time(10)

    ages = [[one.age_s for one in await claim(stores, limit=2)] for _ in range(2)]

    assert [len(batch) for batch in ages] == [2, 1]
    assert min(ages[0]) > ages[1][0]


async def test_what_is_delivered_is_settled(stores: Stores) -> None:
    await fire(stores, alert_of())
    [claimed] = await claim(stores)

    await stores.notifications.delivered(claimed, detail="http 200")

    await stores.pass_time(1e6)
    assert await claim(stores) == []
    assert await stores.notifications.pending() == {}


async def test_what_failed_waits_as_long_as_it_was_told(stores: Stores) -> None:
    await fire(stores, alert_of())
    [claimed] = await claim(stores)

    await stores.notifications.try_again(claimed, wait_s=300, detail="http 503")

    await stores.pass_time(290)
    assert await claim(stores) == []
    assert await stores.notifications.pending() == {"webhook": 1}
    await stores.pass_time(20)
    assert [one.attempt for one in await claim(stores)] == [2]


async def test_a_late_word_of_an_older_attempt_counts_only_if_it_was_delivered(
    stores: Stores,
) -> None:
    await fire(stores, alert_of())
    [slow] = await claim(stores)
    await stores.pass_time(61)
    [current] = await claim(stores)

    await stores.notifications.given_up(slow, detail="http 410")
    await stores.notifications.try_again(slow, wait_s=0, detail="http 503")
    assert await claim(stores) == []
    await stores.notifications.delivered(slow, detail="http 200")
    await stores.notifications.given_up(current, detail="http 410")

    await stores.pass_time(1e6)
    assert await claim(stores) == []
    assert await stores.notifications.pending() == {}


async def test_a_resolution_waits_for_its_firing(stores: Stores) -> None:
    alert = await fire(stores, alert_of())
    async with stores.book() as book:
        ended = resolve(alert, at=day(40), resolution=Resolution.USER_RETURNED)
        await book.intend([notice(ended, Step.RESOLVED, "webhook")])

    [fired] = await claim(stores)
    await stores.notifications.delivered(fired, detail="http 200")
    [resolved] = await claim(stores)

    assert fired.delivery_id == delivery_id_of(alert.alert_id, Step.FIRED, "webhook")
    assert resolved.delivery_id == delivery_id_of(alert.alert_id, Step.RESOLVED, "webhook")
    assert not resolved.abandoned


async def test_a_resolution_after_a_firing_that_was_given_up_is_marked(stores: Stores) -> None:
    alert = await fire(stores, alert_of())
    async with stores.book() as book:
        ended = resolve(alert, at=day(40), resolution=Resolution.USER_RETURNED)
        await book.intend([notice(ended, Step.RESOLVED, "webhook")])
    [fired] = await claim(stores)
    await stores.notifications.given_up(fired, detail="http 410")

    [resolved] = await claim(stores)

    assert resolved.abandoned


@pytest.mark.parametrize("given_up", [False, True])
async def test_a_resolution_that_nobody_waits_for_is_not_intended(
    stores: Stores, *, given_up: bool
) -> None:
    alert = await fire(stores, alert_of(), told=given_up)
    if given_up:
        [fired] = await claim(stores)
        await stores.notifications.given_up(fired, detail="http 410")

    async with stores.book() as book:
        ended = resolve(alert, at=day(40), resolution=Resolution.USER_RETURNED)
        await book.intend([notice(ended, Step.RESOLVED, "webhook")])

    assert await claim(stores) == []
