"""What becomes of users whose ids turn out to be one person's: history, messages, audits, and what is rejected."""

import asyncio
import random
from collections.abc import Sequence
from datetime import datetime
from itertools import permutations
from typing import Any

import asyncpg
import pytest

from services.segmenter.outbound.identity_store import PostgresIdentities
from services.segmenter.usecases.judge_claims import MOST_EVENTS, MOST_TOGETHER
from services.segmenter.usecases.sweep_deadlines import SWEEP_LIMIT
from shared.contracts.codec import encode
from shared.contracts.events import EventEnvelope
from shared.errors import RetryableError
from shared.kafka.partitioner import partition_of
from shared.vocabulary import EventType
from tests.integration.segmenter.identity_oracle import Truth, check
from tests.integration.segmenter.kit import Desk, Site, day, event

pytestmark = [pytest.mark.postgres, pytest.mark.timeout(240)]

END = day(200)


def identify(user: str, visitor: str, at: datetime, **more: Any) -> EventEnvelope:
    return event(
        user,
        at,
        **{
            "type": EventType.IDENTIFY,
            "anonymous_id": visitor,
            "event_id": f"{visitor}>{user}@{at}",
        }
        | more,
    )


def alias(user: str, previous: str, at: datetime, **more: Any) -> EventEnvelope:
    return identify(
        user,
        "",
        at,
        **{"type": EventType.ALIAS, "anonymous_id": None, "previous_id": previous} | more,
    )


async def merges(site: Site) -> list[asyncpg.Record]:
    rows: list[asyncpg.Record] = await site.owner.fetch("SELECT * FROM merges ORDER BY absorbed")
    return rows


async def homes(site: Site) -> dict[str, str | None]:
    rows = await site.owner.fetch("SELECT user_id, merged_into FROM users")
    return {row["user_id"]: row["merged_into"] for row in rows}


async def test_what_a_visitor_did_becomes_the_users(site: Site) -> None:
    await site.fold(event("visitor", day(0)), event("visitor", day(3)))

    await site.fold(identify("ann", "visitor", day(4)))

    user = await site.user("ann")
    assert (user["first_seen"], user["last_seen"]) == (day(0), day(4))
    assert user["event_count"] == 3
    assert await site.history("ann") == [(day(0), "new")]
    assert await site.history("visitor") == []


async def test_the_visitors_history_is_retracted_with_the_reason_and_told_to_everybody(
    site: Site,
) -> None:
    await site.fold(event("visitor", day(0)))

    await site.fold(identify("ann", "visitor", day(4)))

    [step] = await site.transitions("visitor")
    assert step["retracted_because"] == "merged into ann"
    told = [(each.user_id, each.status) for each in await site.messages()]
    assert ("visitor", "retracted") in told
    assert ("ann", "written") in told


async def test_a_step_that_moves_keeps_the_event_it_rests_on(site: Site) -> None:
    first = event("visitor", day(0))
    await site.fold(first)

    await site.fold(identify("ann", "visitor", day(4)))

    [step] = await site.transitions("ann")
    assert f'"event_id": "{first.event_id}"' in step["evidence"].replace('":"', '": "')


async def test_a_churn_that_was_only_an_ids_is_taken_back(site: Site) -> None:
    await site.fold(event("visitor", day(0)))
    await site.sweep(day(40))
    assert (await site.user("visitor"))["lifecycle"] == "churned"

    await site.fold(
        event("ann", day(20), received_at=day(41)), identify("ann", "visitor", day(41)), now=day(41)
    )

    assert (await site.user("ann"))["lifecycle"] == "active"
    retracted = [each.after for each in await site.messages() if each.status == "retracted"]
    assert "churned" in retracted


async def test_later_events_of_the_visitor_are_the_users(site: Site) -> None:
    await site.fold(identify("ann", "visitor", day(0)))

    await site.fold(event("visitor", day(1)), part=1)

    assert (await site.user("ann"))["event_count"] == 2
    assert (await homes(site)) == {"ann": None, "visitor": "ann"}


async def test_an_alias_makes_the_previous_id_the_users(site: Site) -> None:
    await site.fold(event("old", day(0)), alias("new", "old", day(1)))

    assert (await homes(site)) == {"new": None, "old": "new"}


async def test_other_events_that_carry_both_ids_merge_nobody(site: Site) -> None:
    await site.fold(event("visitor", day(0)), event("ann", day(1), anonymous_id="visitor"))

    assert await homes(site) == {"ann": None, "visitor": None}


async def test_each_merge_is_audited(site: Site) -> None:
    await site.fold(event("visitor", day(0)), event("visitor", day(2)))

    told = identify("ann", "visitor", day(4))
    await site.fold(told, now=day(5))

    [row] = await merges(site)
    assert (row["absorbed"], row["into_user"], row["from_user"]) == ("visitor", "ann", "visitor")
    assert (row["source"], row["event_id"], row["at"]) == ("web", told.event_id, day(4))
    assert row["merged_at"] == day(5)
    assert (row["events_moved"], row["steps_retracted"], row["steps_written"]) == (2, 1, 1)


async def test_what_is_claimed_again_changes_nothing(site: Site) -> None:
    await site.fold(identify("ann", "visitor", day(0)))
    await site.fold(identify("ann", "visitor", day(1)), identify("ann", "visitor", day(0.5)))

    assert len(await merges(site)) == 1
    assert await site.letters() == {}


async def test_a_circle_is_kept_with_its_reason_and_counts_as_activity(site: Site) -> None:
    await site.fold(alias("b", "a", day(0)), alias("c", "b", day(1)))

    await site.fold(alias("a", "c", day(2)))

    assert await homes(site) == {"a": "c", "b": "c", "c": None}
    assert await site.letters() == {2: ("merge_cycle", None)}
    assert (await site.user("c"))["event_count"] == 3
    reason = await site.owner.fetchval("SELECT reason FROM dead_letters")
    assert "'c' is not made an id of 'a'" in reason


async def test_a_visitor_whom_a_second_person_claims_stays_with_the_first(site: Site) -> None:
    await site.fold(identify("ann", "kiosk", day(0)))
    await site.fold(identify("bob", "kiosk", day(1)))

    assert await homes(site) == {"ann": None, "bob": None, "kiosk": "ann"}
    assert await site.letters() == {1: ("claimed_by_another", None)}


@pytest.mark.parametrize(
    ("claimed", "code"),
    [
        ("null", "junk_id"),
        ("x" * 201, "id_too_long"),
        (" ", "missing_id"),
        ("a\x00b", "nul_character"),
        ("ann", "self_merge"),
    ],
)
async def test_an_id_that_can_be_nobodys_is_kept_with_its_reason(
    site: Site, claimed: str, code: str
) -> None:
    """Ingest refuses these; what else writes to the topic may not."""
    await site.fold(alias("ann", claimed, day(0)), event("ann", day(1)))

    assert await site.letters() == {0: (code, None)}
    assert await homes(site) == {"ann": None}
    assert (await site.user("ann"))["event_count"] == 2


async def test_many_rejected_claims_in_a_row_do_not_stop_the_lane(site: Site) -> None:
    await site.fold(identify("ann", "kiosk", day(0)))

    await site.fold(*(identify(f"user-{n}", "kiosk", day(1)) for n in range(300)))

    assert len(await site.letters()) == 300
    assert await site.count("users WHERE merged_into IS NULL") == 301


async def test_an_earlier_claim_that_comes_late_takes_the_visitor_to_its_first_user(
    site: Site,
) -> None:
    await site.fold(event("visitor", day(0)), event("bob", day(5)))
    await site.fold(identify("bob", "visitor", day(6)))

    await site.fold(identify("ann", "visitor", day(1), received_at=day(7)))

    assert await homes(site) == {"ann": None, "bob": None, "visitor": "ann"}
    assert await site.history("ann") == [(day(0), "new")]
    assert await site.history("bob") == [(day(5), "new")]
    assert await site.letters() == {2: ("claimed_by_another", None)}
    moved = (await merges(site))[-1]
    assert (moved["absorbed"], moved["from_user"], moved["into_user"]) == ("visitor", "bob", "ann")


async def free_while_a_claim_waits_for(
    site: Site, held: str, claim: EventEnvelope
) -> Sequence[str]:
    """Fold a claim while somebody holds a user; return who is not locked while it waits for that one."""
    first, other = [await asyncpg.connect(site.database.owner) for _ in range(2)]
    try:
        holding = first.transaction()
        await holding.start()
        await first.execute("SELECT FROM users WHERE user_id = $1 FOR UPDATE", held)
        folding = asyncio.create_task(site.fold(claim))
        async with asyncio.timeout(30):
            while not await other.fetchval("SELECT count(*) FROM pg_locks WHERE NOT granted"):  # noqa: ASYNC110
                await asyncio.sleep(0.01)

        free = await other.fetch("SELECT user_id FROM users FOR UPDATE SKIP LOCKED")
        await holding.rollback()
        await folding
    finally:
        await first.close()
        await other.close()
    return sorted(row["user_id"] for row in free)


async def test_a_claim_that_overturns_others_locks_all_whom_it_concerns_in_the_order_of_ids(
    site: Site,
) -> None:
    """Whoever holds some of them and waits for others meets a lane that does so the other way round."""
    await site.fold(event("visitor", day(0)), identify("zoe", "visitor", day(6)))
    await site.fold(alias("zoe", "bob", day(6)), event("xena", day(6)))

    claim = identify("xena", "visitor", day(1), received_at=day(7))
    free = await free_while_a_claim_waits_for(site, "bob", claim)

    assert free == ["visitor", "xena", "zoe"]
    assert await homes(site) == {"visitor": "xena", "bob": "zoe", "xena": None, "zoe": None}


async def test_all_are_locked_together_however_many_claims_they_hang_together_by(
    site: Site,
) -> None:
    ids = [f"id-{number:02}" for number in range(50)]
    pairs = list(permutations(ids, 2))
    assert 2_000 < len(pairs) < MOST_TOGETHER
    claims = [alias(*pair, day(2 + n / 1_000)) for n, pair in enumerate(pairs)]
    await site.fold(*claims)
    assert await site.count("identity_claims") == len(pairs)

    # Among the last by their ids: locked before the first one, they would not be free.
    claim = alias("id-48", "id-49", day(1), received_at=day(7))
    free = await free_while_a_claim_waits_for(site, "id-00", claim)

    assert free == ids[1:]
    assert (await homes(site))["id-49"] == (await homes(site))["id-48"]


async def test_what_the_log_no_longer_tells_apart_stays_together(site: Site) -> None:
    await site.fold(event("visitor", day(0)), identify("bob", "visitor", day(6)))
    await site.owner.execute(
        "INSERT INTO log_horizon (held_since, raised_at) VALUES ($1, now())", day(3)
    )

    await site.fold(identify("ann", "visitor", day(1), received_at=day(7)))

    assert (await homes(site))["visitor"] == "bob"
    assert await site.letters() == {2: ("too_late", None)}
    assert (await site.user("bob"))["event_count"] == 2


async def test_users_with_too_many_events_to_read_in_one_batch_stay_together(site: Site) -> None:
    """Else their partition would stop for ever: the transaction is cut off each time."""
    await site.fold(event("visitor", day(0)), identify("bob", "visitor", day(6)))
    await site.owner.execute("UPDATE users SET event_count = $1", MOST_EVENTS + 1)

    await site.fold(identify("ann", "visitor", day(1), received_at=day(7)))

    assert (await homes(site))["visitor"] == "bob"
    assert await site.letters() == {2: ("too_late", None)}
    assert (await site.user("ann"))["event_count"] == 1


async def test_all_claims_that_hang_together_are_found_from_any_of_their_ids_up_to_a_limit(
    site: Site,
) -> None:
    await site.fold(alias("b", "a", day(0)), alias("c", "b", day(1)), alias("d", "b", day(2)))
    await site.fold(alias("y", "x", day(0)))
    identities = PostgresIdentities((await site.desk()).connection)

    for asked in "abcd":
        found = await identities.connected({asked}, limit=3)
        assert found is not None
        assert {each.pair for each in found} == {("a", "b"), ("b", "c"), ("b", "d")}
    assert await identities.connected({"d"}, limit=2) is None
    both = await identities.connected({"a", "x"}, limit=4)
    assert both is not None
    assert len(both) == 4


async def test_ids_that_change_hands_several_times_are_audited_each_time(site: Site) -> None:
    await site.fold(event("visitor", day(9)), identify("cy", "visitor", day(9)))
    await site.fold(identify("bob", "visitor", day(6), received_at=day(9)))
    await site.fold(identify("ann", "visitor", day(3), received_at=day(9)))

    rows = await site.owner.fetch("SELECT * FROM merges ORDER BY merged_at, at DESC")
    assert [(row["from_user"], row["into_user"]) for row in rows] == [
        ("visitor", "cy"),
        ("cy", "bob"),
        ("bob", "ann"),
    ]
    assert [await site.history(each) for each in ("cy", "bob")] == [
        [(day(9), "new")],
        [(day(6), "new")],
    ]
    assert await site.history("ann") == [(day(3), "new")]
    truth = Truth()
    truth.note([event("visitor", day(9)), identify("cy", "visitor", day(9))])
    truth.note([identify(user, "visitor", day(at)) for user, at in (("bob", 6), ("ann", 3))])
    await check(site.owner, truth)


async def test_nobody_is_silent_while_what_they_did_as_a_visitor_waits_in_another_partition(
    site: Site,
) -> None:
    own = next(f"ann-{n}" for n in range(99) if partition_of(f"ann-{n}".encode(), 2) == 0)
    visitor = next(f"v-{n}" for n in range(99) if partition_of(f"v-{n}".encode(), 2) == 1)
    await site.sweep(day(0), part=0)
    await site.sweep(day(0), part=1)
    await site.fold(identify(own, visitor, day(0)), watermark=day(0), part=0)

    await site.sweep(day(9), part=0)
    assert (await site.user(own))["lifecycle"] == "new"

    await site.fold(event(visitor, day(6)), part=1, watermark=day(9), now=day(9))
    await site.sweep(day(9), part=0)
    assert await site.history(own) == [(day(0), "new"), (day(7), "active")]

    await site.sweep(day(14), part=1)
    await site.sweep(day(14), part=0)
    assert (await site.history(own))[-1] == (day(13), "silent")


async def test_users_who_wait_for_another_partition_do_not_stand_in_the_way_of_others(
    site: Site,
) -> None:
    """However many of them there are, and though they are due first."""
    await site.sweep(day(0), part=1)
    merged = [(f"u-{n}", f"v-{n}") for n in range(SWEEP_LIMIT + 5)]
    await site.fold(*(identify(user, visitor, day(0)) for user, visitor in merged), now=day(0))
    await site.owner.execute(
        "UPDATE users SET part = 0, also_parts = '{0,1}' WHERE merged_into IS NULL"
    )
    alone = next(f"ann-{n}" for n in range(99) if partition_of(f"ann-{n}".encode(), 2) == 0)
    await site.fold(event(alone, day(1)))

    swept = await site.sweep(day(10), part=0)

    assert swept.held_up
    assert (await site.history(alone))[-1] == (day(8), "silent")
    assert await site.count("transitions WHERE after = 'silent'") == 1


async def test_a_storm_of_visitors_becomes_one_user(site: Site) -> None:
    visitors = [f"v-{number}" for number in range(1_000)]
    await site.fold(*(event(each, day(0)) for each in visitors), part=1)

    await site.fold(*(identify("ann", each, day(1)) for each in visitors[:500]))
    await site.fold(*(identify("ann", each, day(1)) for each in visitors[500:]))

    assert (await site.user("ann"))["event_count"] == 2_000
    assert await site.count("users WHERE merged_into = 'ann'") == 1_000
    assert await site.count("merges") == 1_000
    assert await site.history("ann") == [(day(0), "new")]


async def fold_all(desk: Desk, events: Sequence[EventEnvelope], draw: random.Random) -> None:
    """Fold the events in small batches; a lane that must begin anew does so."""
    at = 0
    while at < len(events):
        size = draw.randint(1, 12)
        values = [encode(each) for each in events[at : at + size]]
        for _ in range(20):
            try:
                await desk.fold(values, now=END, watermark=day(draw.randrange(60)))
            except RetryableError:
                continue
            break
        at += size


@pytest.mark.parametrize("seed", range(3))
async def test_lanes_that_merge_the_same_users_at_once_end_as_if_one_had_done_it_all(
    site: Site, seed: int
) -> None:
    draw = random.Random(seed)
    users = [f"user-{number}" for number in range(4)]
    visitors = [f"visitor-{number}" for number in range(8)]
    received = day(100)
    events = [
        event(each, day(draw.randrange(120) / 2), received_at=received, event_id=f"{each}/{n}")
        for each in (*users, *visitors)
        for n in range(6)
    ]
    events += [
        identify(draw.choice(users), draw.choice(visitors), day(n / 2), received_at=received)
        for n in range(24)
    ]
    for n in range(3):
        new, old = draw.sample(users, 2)
        events.append(alias(new, old, day(n), received_at=received))
    draw.shuffle(events)
    truth = Truth()
    truth.note(events)
    desks = [await site.desk(part) for part in range(2)]
    shares = [
        [each for n, each in enumerate(events) if n % 2 == part or n % 5 == 0] for part in range(2)
    ]
    await site.fold(event("else", day(0), received_at=received), now=END)
    truth.note([event("else", day(0), received_at=received)])

    await asyncio.gather(
        *(
            fold_all(desk, share, random.Random(f"{seed}/{desk.part}"))
            for desk, share in zip(desks, shares, strict=True)
        )
    )
    for part in (0, 1, 0, 1):
        await site.sweep(END, part=part)

    await check(site.owner, truth)
    assert await site.count("events") == len(truth.events)
