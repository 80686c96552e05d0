"""Lanes with much due: in turn, not in small bits meanwhile, and with rests where others have events."""

from dataclasses import dataclass, field

import pytest

from shared.database.connection import Connection
from shared.lanes.limits import LaneLimits
from shared.lanes.work import Applied, Batch
from tests.integration.lanes.kit import Gate, TinyWork, World, until

pytestmark = [pytest.mark.kafka, pytest.mark.postgres]

BUSY, WAITING, OTHER = 0, 1, 2
# Long enough that no turn of these tests comes of it.
NEVER_S = 3_600.0


@dataclass
class DueWork(TinyWork):
    """Leaves something due in every turn of the partition `left`, and holds the catching up of `held` at a gate."""

    left: set[int] = field(default_factory=set)
    held: Gate | None = None
    gives_way: bool = False

    async def prepare(self, batch: Batch) -> None:
        if self.held is not None and batch.may_catch_up and batch.part == BUSY:
            await self.held.hold()

    async def apply(self, connection: Connection, batch: Batch) -> Applied:
        await super().apply(connection, batch)
        return Applied(more_due=batch.part in self.left, gives_way=self.gives_way)

    def turns(self, part: int, *, of_catching_up: bool) -> int:
        return len(
            [
                each
                for each in self.batches
                if (each.part, each.may_catch_up) == (part, of_catching_up)
            ]
        )


async def test_a_lane_that_waits_until_it_may_catch_up_takes_no_small_turns_meanwhile(
    lanes_world: World,
) -> None:
    world, gate = lanes_world, Gate()
    work = DueWork(left={BUSY, WAITING}, held=gate)
    await world.worker("one", work=work, limits=LaneLimits(crowd=1, idle_s=NEVER_S))
    await world.produce(BUSY, "first")
    await gate.reached.wait()
    await world.produce(WAITING, "has much due")

    for number in range(5):
        await folded(world, OTHER, f"goes by {number}")
    small, large = (work.turns(WAITING, of_catching_up=each) for each in (False, True))
    assert (small, large) == (1, 0)

    work.left = {WAITING}
    gate.opened.set()
    await turned(work, WAITING, of_catching_up=True, more_than=0)
    work.left = set()


async def test_a_lane_that_waits_until_it_may_catch_up_and_need_not_any_more_is_in_nobodys_way(
    lanes_world: World,
) -> None:
    world, gate = lanes_world, Gate()
    work = DueWork(left={BUSY, WAITING}, held=gate)
    await world.worker("one", work=work, limits=LaneLimits(crowd=1))
    await world.produce(BUSY, "first")
    await gate.reached.wait()
    await world.produce(WAITING, "has much due")
    await turned(work, WAITING, of_catching_up=False, more_than=1)
    work.left = set()
    turns = work.turns(WAITING, of_catching_up=False)
    await turned(work, WAITING, of_catching_up=False, more_than=turns + 1)
    gate.opened.set()
    work.left = {OTHER}
    await world.produce(OTHER, "has much due")
    await turned(work, OTHER, of_catching_up=True, more_than=2)
    work.left = set()


async def test_a_lane_rests_after_a_turn_that_gives_way_and_folds_its_events_all_the_same(
    lanes_world: World,
) -> None:
    world = lanes_world
    work = DueWork(left={BUSY}, gives_way=True)
    await world.worker("one", work=work, limits=LaneLimits(idle_s=NEVER_S, rests=1_000_000))
    await world.produce(BUSY, "has much due")
    await turned(work, BUSY, of_catching_up=True, more_than=0)
    for number in range(5):
        await folded(world, BUSY, f"goes by {number}")

    assert work.turns(BUSY, of_catching_up=True) == 1


async def test_a_lane_goes_on_catching_up_where_it_need_not_give_way(lanes_world: World) -> None:
    world = lanes_world
    work = DueWork(left={BUSY})
    await world.worker("one", work=work, limits=LaneLimits(idle_s=NEVER_S, rests=1_000_000))
    await world.produce(BUSY, "has much due")
    await turned(work, BUSY, of_catching_up=True, more_than=2)
    work.left = set()


async def turned(work: DueWork, part: int, *, of_catching_up: bool, more_than: int) -> None:
    """Wait until the partition had more such turns."""

    async def it_had() -> bool:
        return work.turns(part, of_catching_up=of_catching_up) > more_than

    await until(it_had)


async def folded(world: World, part: int, value: str) -> None:
    await world.produce(part, value)

    async def it_is_seen() -> bool:
        return value in await world.seen(part)

    await until(it_is_seen)


async def test_lanes_that_catch_up_take_turns_however_much_each_has_due(lanes_world: World) -> None:
    world = lanes_world
    parts = {BUSY, WAITING, OTHER}
    work = DueWork(left=parts)
    await world.worker("one", work=work, limits=LaneLimits(crowd=1))
    for part in parts:
        await world.produce(part, "has much due")

    async def all_went_on() -> bool:
        return all(work.turns(part, of_catching_up=True) >= 20 for part in parts)

    await until(all_went_on)
    work.left = set()
    turns = [work.turns(part, of_catching_up=True) for part in parts]
    # One may have been alone at the start, before the others had read what they have due.
    assert max(turns) < 20 * min(turns)
