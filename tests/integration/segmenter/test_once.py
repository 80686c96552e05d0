"""Each event takes effect once: however often, wherever and whenever it comes again."""

import asyncio

import pytest

from services.segmenter.usecases.fold_events import DUPLICATE_WINDOW
from shared.contracts.codec import encode
from shared.contracts.events import EventEnvelope
from tests.integration.lanes.kit import until
from tests.integration.segmenter.kit import DAY, START, Desk, Site, day, event, lanes_waiting

pytestmark = pytest.mark.postgres


async def test_a_repeat_in_the_same_batch_takes_no_effect(site: Site) -> None:
    once = event("u", START)

    await site.fold(once, once, once)

    assert (await site.user())["event_count"] == 1
    assert await site.count("events") == 1
    assert await site.history() == [(START, "new")]


async def test_a_repeat_in_a_later_batch_takes_no_effect(site: Site) -> None:
    await site.fold(event("u", START))

    applied = await site.fold(event("u", START, received_at=START + DAY), event("v", START))

    assert (await site.user())["event_count"] == 1
    assert await site.count("events") == 2
    assert [each.topic for each in applied.messages] == ["ebbtide.transitions.v1"]


async def test_a_repeat_in_another_partition_takes_no_effect(site: Site) -> None:
    await site.fold(event("u", START))

    await site.fold(event("u", START), part=1)

    assert (await site.user())["event_count"] == 1
    assert (await site.user())["part"] == 0


async def test_a_repeat_takes_no_effect_until_the_duplicate_window_has_passed(site: Site) -> None:
    await site.fold(event("u", START))

    await site.fold(event("u", START, received_at=START + DUPLICATE_WINDOW))

    assert (await site.user())["event_count"] == 1


async def test_a_repeat_that_claims_another_time_takes_no_effect(site: Site) -> None:
    await site.fold(event("u", START))

    await site.fold(event("u", day(2), event_id=f"u@{START.isoformat()}"))

    assert (await site.user())["last_seen"] == START


async def test_the_same_id_from_another_source_is_another_event(site: Site) -> None:
    await site.fold(event("u", START), event("u", START, source="app"))

    assert (await site.user())["event_count"] == 2


async def test_two_lanes_that_meet_a_new_user_at_once_make_one_user_of_both(site: Site) -> None:
    one, other = await site.desk(0), await site.desk(1)
    await _make_room(site)

    await _at_once(site, (one, event("u", day(1))), (other, event("u", START)))

    user = await site.user()
    assert (user["event_count"], user["first_seen"], user["last_seen"]) == (2, START, day(1))
    assert await site.history() == [(START, "new")]


async def test_two_lanes_that_meet_the_same_new_event_at_once_fold_it_once(site: Site) -> None:
    one, other = await site.desk(0), await site.desk(1)
    await _make_room(site)
    late = event("u", START, received_at=day(1))

    await _at_once(site, (one, event("u", START)), (other, late))

    assert (await site.user())["event_count"] == 1
    assert await site.count("events") == 1 + 1  # and the one that made room


async def test_two_lanes_that_meet_the_same_event_of_a_known_user_fold_it_once(site: Site) -> None:
    one, other = await site.desk(0), await site.desk(1)
    await _make_room(site)
    await site.fold(event("u", START))

    await _at_once(site, (one, event("u", day(1))), (other, event("u", day(1), received_at=day(2))))

    user = await site.user()
    assert (user["event_count"], user["last_seen"]) == (2, day(1))


@pytest.mark.parametrize("attempt", range(3))
async def test_two_lanes_that_meet_one_id_under_two_users_at_once_fold_it_once(
    site: Site, attempt: int
) -> None:
    one, other = await site.desk(0), await site.desk(1)
    await _make_room(site)
    await site.fold(event("u", START), event("v", START))

    async with site.owner.transaction():
        await site.owner.execute("SELECT FROM users FOR UPDATE")
        folds = [
            asyncio.create_task(
                desk.fold([encode(event(user, day(1), event_id="x"))], now=day(1), watermark=None)
            )
            for desk, user in ((one, "u"), (other, "v"))
        ]
        await until(lambda: lanes_waiting(site, 2))
    await asyncio.gather(*folds)

    rows = await site.owner.fetch("SELECT event_count FROM users WHERE user_id IN ('u', 'v')")
    assert sorted(row["event_count"] for row in rows) == [1, 2], attempt
    assert await site.owner.fetchval("SELECT count(*) FROM events WHERE event_id = 'x'") == 1
    assert await site.letters() == {}


async def test_lanes_that_share_many_users_all_get_through(site: Site) -> None:
    parts, users = range(4), [f"user-{number}" for number in range(30)]
    desks = [await site.desk(part) for part in parts]
    await _make_room(site)

    def of_everybody(desk: Desk) -> list[bytes]:
        order = users if desk.part % 2 else list(reversed(users))
        at = day(desk.part / 4)
        return [encode(event(user, at, event_id=f"{user}/{desk.part}")) for user in order]

    await asyncio.gather(
        *(desk.fold(of_everybody(desk), now=day(1), watermark=START) for desk in desks)
    )

    rows = await site.owner.fetch("SELECT user_id, event_count, last_seen FROM users")
    counts = {row["user_id"]: (row["event_count"], row["last_seen"]) for row in rows}
    assert {user: counts[user] for user in users} == dict.fromkeys(users, (4, day(0.75)))


async def _make_room(site: Site) -> None:
    """Fold something of another user, so that the partitions are there."""
    await site.fold(event("somebody else", START, received_at=day(2)), part=2)
    await site.room.ensure(days=[START.date(), day(1).date(), day(2).date()], months=[])


async def _at_once(site: Site, *folds: tuple[Desk, EventEnvelope]) -> None:
    """Fold in several lanes, each past its first look at user u before any of them goes on.

    Somebody is just making u, or holds u; all wait for that, and it comes to nothing.
    """
    gate = site.owner.transaction()
    await gate.start()
    await site.owner.execute(
        """
        INSERT INTO users SELECT 'u', part, first_seen, last_seen, span_start, earlier_spans,
               lifecycle, lifecycle_since, deadline, deadline_to, event_count, known_at,
               policy_version, revision, updated_at
        FROM users WHERE user_id = 'somebody else'
        ON CONFLICT DO NOTHING
        """
    )
    await site.owner.execute("SELECT FROM users WHERE user_id = 'u' FOR UPDATE")
    running = [
        asyncio.create_task(desk.fold([encode(it)], now=day(2), watermark=None))
        for desk, it in folds
    ]
    await until(lambda: lanes_waiting(site, len(folds)))
    await gate.rollback()
    await asyncio.gather(*running)
