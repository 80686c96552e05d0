"""What lanes leave in the counters is what a recount of everything says, however it came."""

import random
from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import timedelta

import msgspec
import pytest

from services.segmenter.domain.lifecycle import Step
from services.segmenter.domain.origin import Origin
from shared.contracts.events import EventEnvelope
from shared.vocabulary import Lifecycle, TransitionReason
from tests.integration.segmenter.kit import DAY, ZONE, Site, day, event
from tests.unit.segmenter.counting_oracle import Counted, Did, recount

pytestmark = pytest.mark.postgres

ORIGINS = (Origin("ads", "ios"), Origin("mail", "web"), Origin())
NOW = day(70)
PARTS = 3


def did(given: Did, number: int, *, active: bool = True) -> EventEnvelope:
    context = {
        "campaign": {"source": given.origin.channel.replace("unknown", "")},
        "device": {"type": given.origin.platform},
    }
    return event(
        given.user_id,
        given.at,
        event_id=str(number),
        active=active,
        payload=msgspec.Raw(msgspec.json.encode({"context": context})),
    )


def traffic(chance: random.Random, *, users: int, events: int) -> list[Did]:
    """Return what users did over two months, some of it at the same instant."""
    return [
        Did(
            f"u{chance.randrange(users)}",
            day(0) + chance.randrange(60 * 24) * timedelta(hours=1),
            chance.choice(ORIGINS),
        )
        for _ in range(events)
    ]


async def stored(site: Site) -> Counted:
    """Return what is counted over all shards."""
    found = Counted()
    for row in await site.owner.fetch(
        "SELECT period, dimension, start, value, sum(users)::int, sum(new_users)::int"
        " FROM active_users GROUP BY 1, 2, 3, 4"
    ):
        found.users.update({tuple(row[:4]): row[4]} if row[4] else {})
        found.new_users.update({tuple(row[:4]): row[5]} if row[5] else {})
    for counter, columns in (
        (found.retention, "period, dimension, cohort, value, age, sum(users)"),
        (found.flows, "dimension, hour, value, before, after, sum(transitions)"),
        (found.months, "dimension, month, value, before, after, sum(transitions)"),
    ):
        table = {id(found.retention): "retention", id(found.flows): "lifecycle_flows"}.get(
            id(counter), "lifecycle_flow_months"
        )
        rows = await site.owner.fetch(f"SELECT {columns} FROM {table} GROUP BY 1, 2, 3, 4, 5")  # noqa: S608
        cells: Counter[tuple[object, ...]] = counter  # type: ignore[assignment]
        cells.update({tuple(row[:5]): int(row[5]) for row in rows if row[5]})
    return found


async def standing(site: Site, users: Iterable[str]) -> dict[str, Sequence[Step]]:
    """Return the transitions that stand, by user."""
    return {
        user_id: [
            Step(
                row["at"],
                None if row["before"] is None else Lifecycle(row["before"]),
                Lifecycle(row["after"]),
                TransitionReason(row["reason"]),
                row["policy_version"],
            )
            for row in await site.transitions(user_id)
            if row["retracted_at"] is None
        ]
        for user_id in users
    }


async def expected(site: Site, deeds: Sequence[Did]) -> Counted:
    return recount(deeds, ZONE, await standing(site, {each.user_id for each in deeds}))


@pytest.mark.parametrize("seed", range(4))
async def test_any_order_any_lanes_and_any_repetition_count_the_same(site: Site, seed: int) -> None:
    chance = random.Random(seed)
    deeds = traffic(chance, users=12, events=200)
    numbered = [*enumerate(deeds), *chance.choices(list(enumerate(deeds)), k=60)]
    chance.shuffle(numbered)

    for start in range(0, len(numbered), 20):
        batch = [did(each, number) for number, each in numbered[start : start + 20]]
        await site.fold(*batch, part=chance.randrange(PARTS), now=NOW)
        if chance.random() < 0.3:
            await site.sweep(day(start / 4), part=chance.randrange(PARTS), now=NOW)

    assert await stored(site) == await expected(site, deeds)


async def test_time_that_passes_is_counted_in_the_hour_in_which_it_did(site: Site) -> None:
    deeds = [Did("ada", day(0)), Did("bob", day(1))]
    for number, each in enumerate(deeds):
        await site.fold(did(each, number))

    await site.sweep(day(40))

    found = await stored(site)
    assert found == await expected(site, deeds)
    # At noon it is 8:30 in St. John's.
    half_past = day(0) - timedelta(minutes=30)
    assert found.flows["all", half_past + 7 * DAY, "", "new", "silent"] == 1
    assert found.flows["all", half_past + 31 * DAY, "", "silent", "churned"] == 1


async def test_an_earlier_event_that_comes_late_moves_the_user_to_another_cohort_and_origin(
    site: Site,
) -> None:
    late = Did("ada", day(0), Origin("mail", "web"))
    deeds = [Did("ada", day(3), Origin("ads", "ios")), Did("ada", day(10), Origin()), late]
    for number, each in enumerate(deeds[:2]):
        await site.fold(did(each, number), now=NOW)

    await site.fold(did(late, 2), now=NOW)

    found = await stored(site)
    assert found == await expected(site, deeds)
    assert {value for _, dimension, _, value in found.users if dimension == "channel"} == {"mail"}


async def test_what_is_no_activity_counts_nothing(site: Site) -> None:
    await site.fold(did(Did("ada", day(0)), 0, active=False), now=NOW)

    assert await stored(site) == Counted()


async def test_a_batch_is_counted_in_the_shard_of_its_partition(site: Site) -> None:
    await site.fold(did(Did("ada", day(0)), 0), part=10, now=NOW)

    assert await site.owner.fetch("SELECT DISTINCT shard FROM active_users") == [(2,)]
