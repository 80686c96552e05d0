"""While the zone of the counted days is changed some segmenter stands still: it counts in no zone but the present one."""

import asyncio
from zoneinfo import ZoneInfo

import pytest
from prometheus_client import CollectorRegistry

from services.segmenter.inbound.zone_gate import ZoneGate
from services.segmenter.outbound import job_store
from services.segmenter.usecases.ports import ZoneMoved
from shared.database.connection import Connection
from shared.database.product import ProductZone, settle_zone
from shared.errors import InvalidConfiguration
from shared.lanes.work import Applied, Batch, LaneWork
from tests.integration.segmenter import counts
from tests.integration.segmenter.kit import START, ZONE, Site, day, event, lane_in
from tests.integration.segmenter.rebuild_kit import rebuilt
from tests.unit.segmenter.counting_oracle import Did, recount

pytestmark = [pytest.mark.postgres, pytest.mark.timeout(60)]

NEW = ZoneInfo("Pacific/Auckland")


async def settled(site: Site) -> None:
    await site.owner.execute("INSERT INTO product (zone) VALUES ($1)", str(ZONE))


class Frozen:
    """A lane's work that stands still in its transaction, after all that it does there."""

    def __init__(self, work: LaneWork) -> None:
        self.stands_still = asyncio.Event()
        self.wakes_up = asyncio.Event()
        self._work = work

    async def prepare(self, batch: Batch) -> None:
        await self._work.prepare(batch)

    async def apply(self, connection: Connection, batch: Batch) -> Applied:
        applied = await self._work.apply(connection, batch)
        self.stands_still.set()
        await self.wakes_up.wait()
        return applied


async def test_a_lane_that_wakes_up_after_the_change_writes_nothing_and_another_goes_on(
    site: Site,
) -> None:
    await settled(site)
    await site.fold(event("ann", day(0)), event("bob", day(0.5)))
    assert (await rebuilt(site, swap=True, zone=str(NEW))).status == 0
    counted = await counts.stored(site.owner)

    with pytest.raises(ZoneMoved):
        await site.fold(event("ann", day(1)), event("cem", day(1)))

    assert await counts.stored(site.owner) == counted
    assert await site.letters() == {}
    await site.desk(1, work=lane_in(NEW, site.room, CollectorRegistry()))
    await site.fold(event("ann", day(1)), event("cem", day(1)), part=1)
    assert (await rebuilt(site)).differences == []
    deeds = [Did("ann", day(0)), Did("bob", day(0.5)), Did("ann", day(1)), Did("cem", day(1))]
    assert (await counts.stored(site.owner)).users == recount(deeds, NEW).users


async def test_the_process_that_woke_up_says_why_it_must_end(site: Site) -> None:
    await settled(site)
    zone = ProductZone(site.database.segmenter, zone=str(ZONE), worker="test", reader=settle_zone)
    await site.desk(work=ZoneGate(site.lane, check=zone.ensure, doubt=zone.doubt))
    await site.fold(event("ann", day(0)))
    await rebuilt(site, swap=True, zone=str(NEW))

    with pytest.raises(ZoneMoved):
        await site.fold(event("ann", day(1)))
    with pytest.raises(InvalidConfiguration):
        await site.fold(event("ann", day(1)))

    assert "those of Pacific/Auckland" in zone.ended()


async def test_the_change_waits_for_a_turn_in_hand_and_counts_it_anew(site: Site) -> None:
    await settled(site)
    await site.fold(event("ann", day(0)))
    frozen = Frozen(site.lane)
    await site.desk(1, work=frozen)
    turn = asyncio.create_task(site.fold(event("bob", day(0.5)), part=1))
    await frozen.stands_still.wait()

    changing = asyncio.create_task(rebuilt(site, swap=True, zone=str(NEW)))
    while await site.owner.fetchval("SELECT zone FROM product") != str(NEW):
        assert not changing.done()
    frozen.wakes_up.set()
    await turn

    assert (await changing).status == 0
    assert (await rebuilt(site)).differences == []
    deeds = [Did("ann", day(0)), Did("bob", day(0.5))]
    assert (await counts.stored(site.owner)).users == recount(deeds, NEW).users


async def test_a_job_of_a_process_with_the_old_zone_does_no_further_step(site: Site) -> None:
    await settled(site)
    job_id = await site.owner.fetchval(
        "INSERT INTO jobs (kind, argument, requested_by, created_at, updated_at)"
        " VALUES ('counting', '{}', 'test', $1, $1) RETURNING job_id",
        START,
    )
    async with job_store.opened(site.database.segmenter, worker="one", zone=str(ZONE)) as desk:
        await desk.take(["counting"], now=START)
        async with desk.hold(job_id) as held:
            assert held is not None
        await site.owner.execute("UPDATE product SET zone = $1", str(NEW))

        with pytest.raises(ZoneMoved):
            async with desk.hold(job_id):
                pass
