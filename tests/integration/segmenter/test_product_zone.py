"""One zone's days are counted: the first segmenter says which, and whoever says another one stops."""

import asyncio
from collections.abc import Callable

import pytest

from deploy.local.dsn import with_database
from shared.database.product import ProductZone, settle_zone, stored_zone
from shared.errors import InvalidConfiguration, StoreUnavailable
from tests.integration.api.rows import connected
from tests.servers import Database

pytestmark = pytest.mark.postgres


def segmenter(database: Database, zone: str) -> ProductZone:
    return ProductZone(database.segmenter, zone=zone, worker="s", reader=settle_zone)


def api(database: Database, zone: str) -> ProductZone:
    return ProductZone(database.api, zone=zone, worker="a", reader=stored_zone, again_s=0.01)


async def stored(database: Database) -> str | None:
    async with connected(database.owner) as owner:
        zone: str | None = await owner.fetchval("SELECT zone FROM product")
    return zone


async def test_the_first_segmenter_settles_the_zone(database: Database) -> None:
    part = segmenter(database, "Europe/Berlin")

    await part.start()
    await part.stop()

    assert await stored(database) == "Europe/Berlin"
    assert part.ended() == ""


@pytest.mark.parametrize("service", [segmenter, api])
async def test_who_has_the_same_zone_starts(
    database: Database, service: Callable[[Database, str], ProductZone]
) -> None:
    await segmenter(database, "Asia/Kolkata").ensure()

    part = service(database, "Asia/Kolkata")
    await part.start()
    await part.stop()

    assert part.ended() == ""


@pytest.mark.parametrize("service", [segmenter, api])
async def test_who_has_another_zone_does_not_start_and_is_told_what_would_help(
    database: Database, service: Callable[[Database, str], ProductZone]
) -> None:
    await segmenter(database, "Europe/Berlin").ensure()

    with pytest.raises(InvalidConfiguration) as refusal:
        await service(database, "UTC").start()

    assert str(refusal.value) == (
        "EBBTIDE_PRODUCT_ZONE: is UTC, but the days that are counted are those of Europe/Berlin:"
        " set it to that; only `ebbtide rebuild --swap --zone UTC` changes it"
    )
    assert await stored(database) == "Europe/Berlin"


async def test_segmenters_that_start_at_once_agree(database: Database) -> None:
    zones = ["Europe/Berlin", "UTC", "Asia/Tokyo", "UTC"]
    parts = [segmenter(database, zone) for zone in zones]

    ends = await asyncio.gather(*(part.ensure() for part in parts), return_exceptions=True)

    settled = await stored(database)
    assert [end is None for end in ends] == [zone == settled for zone in zones]


async def test_an_api_that_started_first_notices_another_zone_later(database: Database) -> None:
    part = api(database, "UTC")
    await part.start()
    assert await stored(database) is None

    await segmenter(database, "Europe/Berlin").ensure()
    try:
        assert part._asking is not None
        await asyncio.wait_for(part._asking, 10)
    finally:
        await part.stop()

    assert "those of Europe/Berlin" in part.ended()


async def test_a_database_that_does_not_answer_keeps_nobody_from_starting(
    database: Database,
) -> None:
    gone = with_database(database.segmenter, "there-is-none")
    part = ProductZone(gone, zone="UTC", worker="s", reader=settle_zone)

    await part.start()
    await part.stop()

    assert part.ended() == ""
    with pytest.raises(StoreUnavailable):
        await part.ensure()
