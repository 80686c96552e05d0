"""Records that can't be applied: found, kept with their reason, and no trouble to their neighbours."""

import pytest

from shared.lanes.keeper import Lanes
from shared.lanes.limits import LaneLimits
from shared.observability import metrics as m
from tests.integration.lanes.kit import World, until, values

pytestmark = [pytest.mark.kafka, pytest.mark.postgres]


async def test_a_poison_record_is_isolated_and_its_neighbours_are_kept(lanes_world: World) -> None:
    world = lanes_world
    await world.produce(0, *values("a", 7), "poison", *values("b", 9), "broken", *values("c", 3))

    await world.worker("one")

    await until(lambda: _at(world, 21))
    assert await world.seen() == values("a", 7) + values("b", 9) + values("c", 3)
    letters = await world.owner.fetch("SELECT * FROM dead_letters ORDER BY kafka_offset")
    assert [(row["kafka_offset"], row["code"], row["value"]) for row in letters] == [
        (7, "rejected_by_store", b"poison"),
        (17, "not_applicable", b"broken"),
    ]
    assert letters[0]["dead_letter_id"] == f"{world.group}/{world.topic}/0/7"
    assert "check constraint" in letters[0]["reason"]
    assert world.count("one", m.DEAD_LETTERS, world.group, "rejected_by_store") == 1
    await world.check_ledger()


async def test_too_many_refused_in_a_row_stop_the_lane_instead_of_draining_the_log(
    lanes_world: World,
) -> None:
    world = lanes_world
    lanes = await world.worker("one", limits=LaneLimits(refused_in_a_row=5))
    await world.produce(0, *["poison"] * 20)
    await world.produce(1, "fine")

    await until(lambda: _frozen(world))

    row = await world.row()
    assert (row["next_offset"], row["owner"]) == (0, None)
    assert "5 records in a row were refused" in row["frozen_reason"]
    assert await world.owner.fetchval("SELECT count(*) FROM dead_letters") == 0
    await until(lambda: _seen(world, ["fine"]))
    await until(lambda: _says_frozen(lanes))


async def test_a_frozen_partition_goes_on_when_an_operator_clears_it(lanes_world: World) -> None:
    world = lanes_world
    await world.worker("one", limits=LaneLimits(refused_in_a_row=5))
    await world.produce(0, *["poison"] * 5, "fine")
    await until(lambda: _frozen(world))

    await world.owner.execute(
        "UPDATE consumer_partition SET frozen_reason = NULL, next_offset = 5"
        " WHERE grp = $1 AND part = 0",
        world.group,
    )

    await until(lambda: _seen(world, ["fine"]))


async def _at(world: World, offset: int) -> bool:
    rows = await world.owner.fetch(
        "SELECT next_offset FROM consumer_partition WHERE grp = $1 AND part = 0", world.group
    )
    return bool(rows) and rows[0]["next_offset"] == offset


async def _frozen(world: World) -> bool:
    return bool(
        await world.owner.fetchval(
            "SELECT count(*) FROM consumer_partition WHERE grp = $1 AND frozen_reason IS NOT NULL",
            world.group,
        )
    )


async def _seen(world: World, wanted: list[str]) -> bool:
    return await world.seen() == wanted


async def _says_frozen(lanes: Lanes) -> bool:
    health = lanes.health()
    return not health.ready and "frozen" in health.reason
