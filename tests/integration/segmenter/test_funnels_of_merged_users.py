"""Funnels of people who turn out to be one, or not to be: the same as had it been known all along."""

import random
from collections.abc import Mapping
from datetime import timedelta

import pytest

from shared.contracts.events import EventEnvelope
from shared.vocabulary import EventType
from tests.integration.segmenter.funnel_kit import (
    NAMES,
    Backfill,
    Cells,
    cells_of,
    define,
    expected,
    step,
)
from tests.integration.segmenter.kit import Site, day, event

pytestmark = pytest.mark.postgres

MINUTE = timedelta(minutes=1)


def identify(anonymous: str, user: str, *, minute: float) -> EventEnvelope:
    return event(
        user,
        day(0) + minute * MINUTE,
        type=EventType.IDENTIFY,
        name=None,
        anonymous_id=anonymous,
        event_id=f"{anonymous} is {user} since {minute}",
    )


async def homes(site: Site) -> Mapping[str, str]:
    """Return id → user, as the identities say."""
    rows = await site.owner.fetch("SELECT user_id, merged_into FROM users WHERE merged_into > ''")
    return {row["user_id"]: row["merged_into"] for row in rows}


async def strays(site: Site) -> list[str]:
    """Return ids that have marks although they are another user's."""
    rows = await site.owner.fetch(
        "SELECT DISTINCT user_id FROM funnel_users JOIN users USING (user_id) WHERE merged_into > ''"
    )
    return [row["user_id"] for row in rows]


async def counted(site: Site, funnel: int) -> Cells:
    assert await strays(site) == []
    return await cells_of(site.owner, funnel)


async def test_what_an_id_did_before_and_after_it_was_known_counts_for_its_user(
    site: Site,
) -> None:
    funnel = await define(site.owner)
    before = [step("device", day(0), "Viewed"), step("ada", day(0) + MINUTE, "Added")]
    after = [step("device", day(0) + 3 * MINUTE, "Ordered")]

    await site.fold(*before)
    await site.fold(identify("device", "ada", minute=2))
    await site.fold(*after)

    assert await homes(site) == {"device": "ada"}
    assert await counted(site, funnel) == expected([*before, *after], merged={"device": "ada"})


async def test_a_step_in_the_very_batch_that_tells_whose_it_is_counts_for_its_user(
    site: Site,
) -> None:
    funnel = await define(site.owner)
    steps = [step("device", day(0), "Viewed"), step("ada", day(0) + MINUTE, "Added")]

    await site.fold(steps[0], identify("device", "ada", minute=2), steps[1])

    assert await counted(site, funnel) == expected(steps, merged={"device": "ada"})


async def test_a_step_that_is_no_activity_counts_for_the_user_whose_id_it_bears(
    site: Site,
) -> None:
    funnel = await define(site.owner)
    steps = [
        step("device", day(0), "Viewed", active=False),
        step("device", day(0) + 3 * MINUTE, "Added", active=False),
        step("nobody", day(0), "Viewed", active=False),
    ]

    await site.fold(steps[0])
    await site.fold(identify("device", "ada", minute=2))
    await site.fold(*steps[1:])

    assert await counted(site, funnel) == expected(steps, merged={"device": "ada"})


async def test_an_earlier_claim_that_comes_late_takes_the_steps_to_another_user(
    site: Site,
) -> None:
    funnel = await define(site.owner)
    steps = [
        step("device", day(0), "Viewed"),
        step("ada", day(0) + MINUTE, "Added"),
        step("bob", day(0) + MINUTE, "Added"),
        step("bob", day(0) + 2 * MINUTE, "Ordered"),
    ]
    await site.fold(*steps)
    await site.fold(identify("device", "ada", minute=30))
    known = await counted(site, funnel)

    await site.fold(identify("device", "bob", minute=20))

    assert known == expected(steps, merged={"device": "ada"})
    assert await homes(site) == {"device": "bob"}
    assert await counted(site, funnel) == expected(steps, merged={"device": "bob"})


@pytest.mark.parametrize("seed", range(6))
async def test_any_claims_in_any_order_beside_a_back_fill_count_as_if_known_all_along(
    site: Site, seed: int
) -> None:
    chance = random.Random(seed)
    ids = [f"u{number}" for number in range(5)] + [f"d{number}" for number in range(8)]
    events = [
        step(
            chance.choice(ids),
            day(0) + chance.randrange(40) * 15 * MINUTE,
            chance.choice(NAMES),
            event_id=str(number),
            active=chance.random() < 0.8,
        )
        for number in range(60)
    ]
    claims = [
        identify(f"d{chance.randrange(8)}", f"u{chance.randrange(5)}", minute=chance.random() * 600)
        for _ in range(10)
    ]
    given = [*events, *claims]
    chance.shuffle(given)
    await site.fold(*given[:25])
    funnel = await define(site.owner)
    backfill = Backfill((await site.desk(3)).connection, funnel)

    for start in range(25, len(given), 5):
        await site.fold(*given[start : start + 5], part=chance.randrange(2))
        if not backfill.over:
            await backfill.step()
    await backfill.run()

    assert len(await homes(site)) > 2
    assert await counted(site, funnel) == expected(events, merged=await homes(site))
