"""Partitions were added: a user's next events come by another one than those before."""

import pytest

from services.segmenter.usecases.sweep_deadlines import SWEEP_LIMIT
from shared.kafka.partitioner import partition_of
from tests.integration.segmenter.kit import START, Site, day, event
from tests.integration.segmenter.users import user_of

pytestmark = pytest.mark.postgres

# Of one partition everybody's events came; of two, these users'.
MOVED, STAYED = user_of(1, of=2), user_of(0, of=2)
HISTORY = [(START, "new"), (day(7), "silent"), (day(30), "churned")]


async def test_nobody_is_declared_silent_while_their_event_waits_in_the_new_partition(
    site: Site,
) -> None:
    await site.fold(event(MOVED, START), event(STAYED, START))
    await site.desk(1)  # made, and not folded yet: there is a backlog

    await site.sweep(day(8))
    assert await site.history(MOVED) == [(START, "new")]
    assert await site.history(STAYED) == HISTORY[:2]

    await site.fold(event(MOVED, day(6)), part=1, watermark=day(6))
    await site.sweep(day(8))
    await site.sweep(day(8), part=1)
    assert await site.history(MOVED) == [(START, "new"), (day(7), "active")]
    assert (await site.user(MOVED))["part"] == 1


async def test_time_passes_for_who_does_not_come_again_as_far_as_the_new_partition_is_folded(
    site: Site,
) -> None:
    await site.fold(event(MOVED, START))
    await site.sweep(day(8), part=1)

    await site.sweep(day(40))
    assert await site.history(MOVED) == HISTORY[:2]

    await site.sweep(day(40), part=1)
    await site.sweep(day(40))
    assert await site.history(MOVED) == HISTORY


async def test_while_somebody_has_to_wait_the_watermark_is_told_to_nobody_and_nothing_spins(
    site: Site,
) -> None:
    """The numbers are not exact up to there yet."""
    await site.fold(event(MOVED, START), watermark=START)
    await site.desk(1)

    applied = await site.sweep(day(8))

    told = await site.owner.fetchval("SELECT watermark FROM consumer_partition WHERE part = 0")
    assert (told, applied.more_due, applied.held_up) == (START, False, True)


async def test_users_who_wait_for_each_others_partitions_all_get_on(site: Site) -> None:
    """Each partition sweeps somebody who comes by the other, due at one instant: no circle."""
    await site.fold(event(MOVED, START), watermark=START)
    await site.fold(event(STAYED, START), part=1, watermark=START)

    for part in (0, 1, 0, 1):
        await site.sweep(day(40), part=part)

    assert await site.history(MOVED) == HISTORY
    assert await site.history(STAYED) == HISTORY
    told = await site.owner.fetch("SELECT watermark FROM consumer_partition")
    assert [row["watermark"] for row in told] == [day(40)] * 2


async def test_who_waits_keeps_nobody_else_waiting(site: Site) -> None:
    others = [name for name in map(str, range(400)) if partition_of(name.encode(), 2) == 0]
    await site.fold(event(MOVED, START), *(event(name, day(0.1)) for name in others))
    await site.desk(1)

    await site.sweep(day(8))

    rows = await site.owner.fetch("SELECT lifecycle, count(*) FROM users GROUP BY 1")
    assert dict(map(tuple, rows)) == {"new": 1, "silent": len(others)}


async def test_more_users_who_wait_than_a_sweep_takes_keep_nobody_else_waiting(site: Site) -> None:
    names = list(map("u{}".format, range(3 * SWEEP_LIMIT)))
    waiting = [name for name in names if partition_of(name.encode(), 2) == 1]
    assert len(waiting) > SWEEP_LIMIT
    await site.fold(*(event(name, START) for name in waiting), event(STAYED, day(0.1)))
    await site.desk(1)

    held_up = [await swept(site) for _ in range(3)]
    told = await site.owner.fetchval("SELECT max(watermark) FROM consumer_partition")
    assert ((await site.user(STAYED))["lifecycle"], held_up, told) == ("silent", [True] * 3, None)

    await site.sweep(day(8), part=1)
    held_up = [await swept(site) for _ in range(4)]
    told = await site.owner.fetchval("SELECT min(watermark) FROM consumer_partition")
    assert (held_up[-1], told) == (False, day(8))
    assert await site.count("users WHERE lifecycle = 'silent'") == len(waiting) + 1


async def swept(site: Site) -> bool:
    """Sweep and commit; say whether somebody is held up."""
    applied = await site.sweep(day(8))
    for then in applied.after_commit:
        then()
    return applied.held_up
