"""Whatever was stored is compared with the event log: what is right is left alone, what is not is told and mended."""

import asyncio

import msgspec
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests import servers
from tests.integration.segmenter import test_any_script as any_script
from tests.integration.segmenter.kit import Site, day, event, site_on
from tests.integration.segmenter.rebuild_kit import rebuilt
from tests.integration.segmenter.test_any_script import END, PARTS, Turn, turns
from tests.servers import Database

pytestmark = [pytest.mark.postgres, pytest.mark.timeout(180)]

NEWS = msgspec.Raw(b'{"context":{"campaign":{"source":"news"}}}')


async def some_history(site: Site) -> None:
    """Three users: one who left, one who came back late, one who stays."""
    for number in (0, 1, 3, 12, 60):
        await site.fold(
            event("ann", day(number), payload=NEWS), event("bob", day(number + 0.5)), part=0
        )
    await site.fold(event("cem", day(70)), part=1)
    await site.fold(event("ann", day(20), received_at=day(61)), part=0)
    await site.sweep(day(75), part=0)
    await site.sweep(day(75), part=1)


async def test_what_the_lanes_wrote_is_what_the_log_says(site: Site) -> None:
    await some_history(site)

    said = await rebuilt(site)

    assert said.differences == []
    assert (said.status, said.end["users"], said.end["events"]) == (0, 3, 12)


def test_after_any_script_nothing_differs(postgres_url: str, database_template: str) -> None:
    with asyncio.Runner() as runner:
        database: Database = runner.run(servers.clone_database(postgres_url, database_template))
        opening = site_on(database)
        site = runner.run(opening.__aenter__())

        @given(st.lists(turns, min_size=1, max_size=6))
        @settings(
            max_examples=12,
            phases=(Phase.explicit, Phase.generate, Phase.shrink),
            suppress_health_check=list(HealthCheck),
        )
        def holds(script: list[Turn]) -> None:
            async def run() -> None:
                await any_script.clear(site)
                await any_script.play(site, script)
                assert (await rebuilt(site)).differences == []
                for part in range(PARTS):
                    await site.sweep(END, part=part)
                assert (await rebuilt(site)).differences == []

            runner.run(run())

        try:
            holds()
        finally:
            runner.run(opening.__aexit__(None, None, None))
            runner.run(servers.drop_database(postgres_url, database.name))
