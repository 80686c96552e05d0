"""The races of two owners, of lost connections and of a database that goes back in time."""

import asyncio

import asyncpg
import pytest

from shared.database.connection import Connection
from shared.lanes.work import Batch
from shared.observability import metrics as m
from tests.integration.lanes.kit import Gate, TinyWork, World, until, values

pytestmark = [pytest.mark.kafka, pytest.mark.postgres]


async def test_a_zombie_that_wakes_with_records_in_memory_is_fenced(lanes_world: World) -> None:
    gate, world = Gate(), lanes_world
    await world.worker("zombie", work=TinyWork(before=gate.hold))
    await until(lambda: _owned_by(world, "zombie"))
    await world.produce(0, *values("a", 5))
    await gate.reached.wait()

    await world.worker("heir")
    await world.force(0, "heir")
    await until(lambda: _has(world, 5))
    gate.opened.set()

    await until(lambda: _counted(world, "zombie", 1))
    assert await world.seen() == values("a", 5)
    await world.check_ledger()


async def test_a_zombie_frozen_inside_its_transaction_does_not_hold_the_partition(
    lanes_world: World,
) -> None:
    gate, world = Gate(), lanes_world
    await world.worker("zombie", work=TinyWork(inside=gate.hold))
    await until(lambda: _owned_by(world, "zombie"))
    await world.produce(0, *values("a", 5))
    await gate.reached.wait()

    await world.force(0, "heir")  # waits for the row's lock
    await world.worker("heir")
    await until(lambda: _has(world, 5))
    gate.opened.set()

    await until(lambda: _all_alive(world))
    assert await world.seen() == values("a", 5)
    await world.check_ledger()


async def test_a_claim_waits_for_the_old_owners_commit_and_reads_its_offset(
    lanes_world: World,
) -> None:
    gate, world = Gate(), lanes_world
    await world.worker("one", work=TinyWork(inside=gate.hold))
    await until(lambda: _owned_by(world, "one"))
    await world.produce(0, *values("a", 5))
    await gate.reached.wait()

    claiming = asyncio.create_task(world.force(0, "one"))
    await until(lambda: _somebody_waits_for_a_lock(world))
    gate.opened.set()
    await claiming

    assert (await world.row())["next_offset"] == 5
    await world.produce(0, *values("b", 5))
    await until(lambda: _has(world, 10))
    assert await world.seen() == values("a", 5) + values("b", 5)
    await world.check_ledger()


async def test_an_offset_taken_back_while_idle_is_noticed_within_a_beat(
    lanes_world: World,
) -> None:
    world = lanes_world
    await world.worker("one")
    await world.produce(0, *values("a", 10))
    await until(lambda: _has(world, 10))

    await world.owner.execute(
        "WITH undone AS (DELETE FROM seen WHERE kafka_offset >= 4)"
        " UPDATE consumer_partition SET next_offset = 4 WHERE grp = $1 AND part = 0",
        world.group,
    )
    noticed_s = await until(lambda: _rewound(world))
    await until(lambda: _has(world, 10))

    assert noticed_s < 1.5
    assert await world.seen() == values("a", 10)


async def test_a_commit_whose_outcome_is_unknown_is_not_repeated(lanes_world: World) -> None:
    world = lanes_world
    # The commit takes a second on the server, and the client is gone by then.
    await world.owner.execute(
        """
        CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS
            'BEGIN PERFORM pg_sleep(1); RETURN NULL; END';
        CREATE CONSTRAINT TRIGGER slow_commit AFTER INSERT ON seen
            DEFERRABLE INITIALLY DEFERRED FOR EACH ROW WHEN (NEW.value = 'slow')
            EXECUTE FUNCTION slow();
        """
    )
    cut: list[asyncio.TimerHandle] = []

    async def cut_soon(connection: Connection, _batch: Batch) -> None:
        if not cut:
            cut.append(asyncio.get_running_loop().call_later(0.5, connection.terminate))

    await world.worker("one", work=TinyWork(inside=cut_soon))
    await until(lambda: _owned_by(world, "one"))
    await world.produce(0, "slow")
    await until(lambda: _restarted(world, "one"))
    await world.produce(0, "after")

    await until(lambda: _has(world, 2))
    assert await world.seen() == ["slow", "after"]
    await world.check_ledger()


async def test_results_stay_exact_while_claims_are_forced_between_living_owners(
    lanes_world: World,
) -> None:
    world = lanes_world
    for name in ("one", "two"):
        await world.worker(name)
    for turn in range(12):
        for part in range(6):
            await world.produce(part, *values(f"{turn}-{part}-", 5))
        await world.force(turn % 6, "one" if turn % 2 else "two")

    await until(lambda: _has(world, 360))
    assert sorted(await world.seen()) == sorted(
        value for turn in range(12) for part in range(6) for value in values(f"{turn}-{part}-", 5)
    )
    await world.check_ledger()


async def test_lost_connections_at_any_moment_neither_lose_nor_repeat(lanes_world: World) -> None:
    world = lanes_world
    await world.worker("one")
    for turn in range(10):
        await world.produce(turn % 6, *values(f"{turn}-", 50))
        await _end_every_backend(world)

    await until(lambda: _has(world, 500))
    assert len(set(await world.seen())) == len(await world.seen()) == 500
    await world.check_ledger()


async def test_after_an_outage_of_the_database_everybody_keeps_what_they_had(
    lanes_world: World,
) -> None:
    world = lanes_world
    for name in ("one", "two"):
        await world.worker(name)
    await until(lambda: _shared(world))
    before = await world.owners()

    await world.owner.execute("UPDATE consumer_worker SET alive_until = now() - interval '1 hour'")
    await _end_every_backend(world)

    await until(lambda: _all_alive(world))
    assert await world.owners() == before


async def test_a_deadlock_is_tried_again_and_nothing_is_applied_twice(lanes_world: World) -> None:
    world = lanes_world
    raised: list[Batch] = []

    async def conflict(connection: Connection, batch: Batch) -> None:
        await connection.execute("INSERT INTO seen VALUES ($1, 5, 0, 'of the void')", batch.topic)
        if len(raised) < 3:
            raised.append(batch)
            await connection.execute(
                "DO $$ BEGIN RAISE EXCEPTION 'deadlock' USING ERRCODE = '40P01'; END $$"
            )

    await world.worker("one", work=TinyWork(inside=conflict))
    await until(lambda: _owned_by(world, "one"))
    await world.produce(0, *values("a", 3))

    await until(lambda: _has(world, 4))
    assert await world.seen() == [*values("a", 3), "of the void"]
    assert world.count("one", m.LANE_RESTARTS, world.group, "StoreUnavailable") == 0


async def test_workers_that_start_together_settle_on_equal_shares(lanes_world: World) -> None:
    for name in ("one", "two", "three"):
        await lanes_world.worker(name)

    await until(lambda: _equal(lanes_world), within_s=6)


async def _has(world: World, count: int) -> bool:
    return len(await world.seen()) >= count


async def _owned_by(world: World, name: str) -> bool:
    return await world.shares() == {name: 6}


async def _shared(world: World) -> bool:
    return await world.shares() == {"one": 3, "two": 3}


async def _equal(world: World) -> bool:
    return await world.shares() == {"one": 2, "two": 2, "three": 2}


async def _counted(world: World, name: str, fencings: int) -> bool:
    return world.count(name, m.LANE_FENCED, world.group) == fencings


async def _rewound(world: World) -> bool:
    return world.count("one", m.LANE_REWOUND, world.group) == 1


async def _restarted(world: World, name: str) -> bool:
    return world.count(name, m.LANE_RESTARTS, world.group, "StoreUnavailable") > 0


async def _all_alive(world: World) -> bool:
    dead = await world.owner.fetchval(
        "SELECT count(*) FROM consumer_worker WHERE alive_until < now() + interval '3 seconds'"
    )
    return dead == 0 and all(lanes.health().ready for lanes in world.running)


async def _somebody_waits_for_a_lock(world: World) -> bool:
    watcher = await asyncpg.connect(world.database.owner)
    try:
        return bool(
            await watcher.fetchval(
                "SELECT count(*) FROM pg_stat_activity"
                " WHERE datname = current_database() AND wait_event_type = 'Lock'"
            )
        )
    finally:
        await watcher.close()


async def _end_every_backend(world: World) -> None:
    await world.owner.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE datname = current_database() AND pid <> pg_backend_pid()"
    )
