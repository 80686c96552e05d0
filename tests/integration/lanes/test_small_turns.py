"""Few lanes with little in hand work at once, but none waits long for those that wait themselves."""

import asyncpg
import pytest

from shared.database.connection import Connection
from shared.lanes.limits import LaneLimits
from shared.lanes.work import Batch
from tests.integration.lanes.kit import TinyWork, World, until

pytestmark = [pytest.mark.kafka, pytest.mark.postgres]

BLOCKED = range(LaneLimits().small_turns)
FREE = LaneLimits().small_turns + 1
_WAITING = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"


async def wait_for_somebody(connection: Connection, batch: Batch) -> None:
    if batch.part in BLOCKED and batch.records:
        await connection.execute("SELECT pg_advisory_xact_lock(77)")


async def test_lanes_that_wait_for_somebody_else_s_rows_do_not_stop_the_others(
    lanes_world: World,
) -> None:
    world = lanes_world
    somebody = await asyncpg.connect(world.database.owner)
    await somebody.execute("SELECT pg_advisory_lock(77)")
    await world.worker("one", work=TinyWork(inside=wait_for_somebody))
    for part in BLOCKED:
        await world.produce(part, f"blocked {part}")

    async def all_slots_are_taken() -> bool:
        return bool(await somebody.fetchval(_WAITING) == len(BLOCKED))

    async def the_free_one_is_folded() -> bool:
        return "free" in await world.seen()

    await until(all_slots_are_taken)
    await world.produce(FREE, "free")
    # The server ends those transactions after 5 s; the free one must not wait for that.
    await until(the_free_one_is_folded, within_s=2.5)

    assert not any(each.startswith("blocked") for each in await world.seen())
    await somebody.close()
