"""No batch is prepared, and so none is folded, before the zone of its days is known to be the right one."""

from datetime import UTC, datetime
from typing import Any

import pytest

from services.segmenter.inbound.zone_gate import ZoneGate
from services.segmenter.usecases.ports import ZoneMoved
from shared.errors import InvalidConfiguration, StoreUnavailable
from shared.lanes.work import Applied, Batch

BATCH = Batch("segmenter", "events", 0, (), datetime(2026, 1, 5, tzinfo=UTC), None)


def _certain() -> None:
    raise AssertionError("nothing contradicts the zone")


class Noting:
    """A lane's work that notes what it is asked for."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    async def prepare(self, _batch: Batch) -> None:
        self.asked.append("prepare")

    async def apply(self, _connection: Any, _batch: Batch) -> Applied:
        self.asked.append("apply")
        return Applied()


@pytest.mark.parametrize("error", [InvalidConfiguration("another zone"), StoreUnavailable("away")])
async def test_a_zone_that_is_wrong_or_not_known_lets_nothing_through(error: Exception) -> None:
    work = Noting()

    async def check() -> None:
        raise error

    with pytest.raises(type(error)):
        await ZoneGate(work, check=check, doubt=_certain).prepare(BATCH)

    assert work.asked == []


async def test_the_right_zone_lets_every_batch_through() -> None:
    work = Noting()

    async def check() -> None:
        return

    gate = ZoneGate(work, check=check, doubt=_certain)
    await gate.prepare(BATCH)
    await gate.apply(None, BATCH)

    assert work.asked == ["prepare", "apply"]


async def test_a_turn_that_finds_another_zone_has_the_next_one_asked_for() -> None:
    asked: list[str] = []

    class Moved(Noting):
        async def apply(self, _connection: Any, _batch: Batch) -> Applied:
            raise ZoneMoved("another one")

    async def check() -> None:
        asked.append("check")

    gate = ZoneGate(Moved(), check=check, doubt=lambda: asked.append("doubt"))
    await gate.prepare(BATCH)
    with pytest.raises(ZoneMoved):
        await gate.apply(None, BATCH)

    assert asked == ["check", "doubt"]
