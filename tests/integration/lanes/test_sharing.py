"""Who works on what: joining, leaving, dying, and what does not move keeps going."""

import asyncio

import pytest

from tests.integration.lanes.kit import World, until, values

pytestmark = [pytest.mark.kafka, pytest.mark.postgres]


async def test_one_worker_folds_every_partition_once(lanes_world: World) -> None:
    wanted = sorted(values("a", 60))
    for part in range(6):
        await lanes_world.produce(part, *wanted[part * 10 : part * 10 + 10])

    await lanes_world.worker("one")

    await until(lambda: _has(lanes_world, 60))
    assert sorted(await lanes_world.seen()) == wanted
    await lanes_world.check_ledger()


async def test_a_second_worker_takes_over_its_share_within_two_seconds(lanes_world: World) -> None:
    await lanes_world.worker("one")
    await until(lambda: _shares(lanes_world, one=6))

    await lanes_world.worker("two")
    took_s = await until(lambda: _shares(lanes_world, one=3, two=3))

    assert took_s < 2.0


async def test_partitions_that_do_not_move_do_not_stop(lanes_world: World) -> None:
    await lanes_world.worker("one")
    await until(lambda: _shares(lanes_world, one=6))
    epochs = {part: (await lanes_world.row(part))["epoch"] for part in range(6)}

    await lanes_world.worker("two")
    await until(lambda: _shares(lanes_world, one=3, two=3))

    moved = [part for part in range(6) if (await lanes_world.row(part))["epoch"] != epochs[part]]
    assert len(moved) == 3


async def test_a_killed_worker_is_replaced_within_eight_seconds(lanes_world: World) -> None:
    await lanes_world.worker("one")
    doomed = await lanes_world.worker("two")
    await until(lambda: _shares(lanes_world, one=3, two=3))

    await lanes_world.kill(doomed)
    for part in range(6):
        await lanes_world.produce(part, *values(f"{part}-", 5))
    took_s = await until(lambda: _has(lanes_world, 30))

    assert took_s < 8.0
    assert await lanes_world.shares() == {"one": 6}
    await lanes_world.check_ledger()


async def test_a_worker_that_leaves_hands_over_at_once(lanes_world: World) -> None:
    await lanes_world.worker("one")
    leaving = await lanes_world.worker("two")
    await until(lambda: _shares(lanes_world, one=3, two=3))

    began = asyncio.get_running_loop().time()
    await lanes_world.stop(leaving)
    await until(lambda: _shares(lanes_world, one=6))

    assert asyncio.get_running_loop().time() - began < 2.0
    rows = await lanes_world.owner.fetch(
        "SELECT worker FROM consumer_worker WHERE grp = $1", lanes_world.group
    )
    assert [row["worker"] for row in rows] == ["one"]


async def _has(world: World, count: int) -> bool:
    return len(await world.seen()) >= count


async def _shares(world: World, **wanted: int) -> bool:
    return await world.shares() == wanted
