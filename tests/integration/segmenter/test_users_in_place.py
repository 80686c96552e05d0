"""Users who are written where their rows lie: whoever was written before in the transaction is found, too."""

from collections.abc import Awaitable, Callable

import pytest
from msgspec import structs

from services.segmenter.domain.profile import Profile
from services.segmenter.outbound.profile_store import PostgresStore
from shared.database.connection import Connection
from tests.integration.segmenter.kit import START, Site, event

pytestmark = pytest.mark.postgres

NAMES = ("a", "b", "c")


async def locked(store: PostgresStore) -> list[Profile]:
    """The users, with one event more than is stored."""
    profiles = (await store.lock(NAMES)).profiles
    return [
        structs.replace(profiles[name], event_count=profiles[name].event_count + 1)
        for name in NAMES
    ]


async def counts(connection: Connection) -> list[int]:
    rows = await connection.fetch("SELECT event_count FROM users ORDER BY user_id")
    return [row["event_count"] for row in rows]


async def test_users_are_written_again_after_they_were_written(site: Site) -> None:
    await site.fold(*(event(name, START) for name in NAMES))
    connection = (await site.desk()).connection

    async with connection.transaction():
        store = PostgresStore(connection)
        once = await locked(store)
        await store.extend_users(once, now=START)
        await store.save_users(once[:1], now=START)
        await store.extend_users(
            [structs.replace(each, event_count=each.event_count + 1) for each in once], now=START
        )

    assert await counts(site.owner) == [3, 3, 3]


async def test_a_row_that_another_statement_of_the_transaction_moved_is_found(site: Site) -> None:
    await site.fold(*(event(name, START) for name in NAMES))
    connection = (await site.desk()).connection

    async with connection.transaction():
        store = PostgresStore(connection)
        extended = await locked(store)
        await connection.execute("UPDATE users SET channel = 'moved' WHERE user_id = 'b'")
        await store.extend_users(extended, now=START)

    assert await counts(site.owner) == [2, 2, 2]


async def extend_later(site: Site, meanwhile: Callable[[], Awaitable[object]]) -> None:
    """Extend users who were locked in an earlier transaction."""
    connection = (await site.desk()).connection
    store = PostgresStore(connection)
    async with connection.transaction():
        extended = await locked(store)
    await meanwhile()
    async with connection.transaction():
        await store.extend_users(extended, now=START)


async def test_users_who_were_locked_in_an_earlier_transaction_are_found(site: Site) -> None:
    await site.fold(*(event(name, START) for name in NAMES))

    await extend_later(site, lambda: site.owner.execute("UPDATE users SET channel = 'moved'"))

    assert await counts(site.owner) == [2, 2, 2]


async def test_a_user_who_lies_there_by_now_is_not_taken_for_who_lay_there(site: Site) -> None:
    await site.fold(*(event(name, START) for name in NAMES))

    async def make_room_for_another() -> None:
        await site.owner.execute("UPDATE users SET lifecycle = 'silent' WHERE user_id = 'a'")
        await site.owner.execute("VACUUM users")
        await site.fold(event("z", START))

    await extend_later(site, make_room_for_another)

    assert await counts(site.owner) == [2, 2, 2, 1]
