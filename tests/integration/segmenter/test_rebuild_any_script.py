"""After whatever came, in any order, nothing differs; and whatever is damaged then, a swap mends."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import TypeVar

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from shared.contracts.codec import encode
from shared.errors import StoreUnavailable
from tests import servers
from tests.integration.segmenter import counts, test_merges_any_script
from tests.integration.segmenter.kit import Site, day, site_on
from tests.integration.segmenter.rebuild_kit import rebuilt
from tests.integration.segmenter.test_any_script import END, PARTS, Turn, turns
from tests.integration.segmenter.test_merges_any_script import Turn as Merging
from tests.integration.segmenter.test_merges_any_script import turns as merging
from tests.servers import Database

pytestmark = [pytest.mark.postgres, pytest.mark.timeout(280)]

T = TypeVar("T")

NUMBER = 12

OF_USERS = (
    "last_seen = last_seen + interval '1 hour'",
    "span_start = first_seen, earlier_spans = '{}'",
    "days = '\\x01', first_day = first_day + 3",
    "days = '\\x00'",
    "lifecycle = 'new', lifecycle_since = first_seen, deadline = NULL",
    "channel = 'elsewhere'",
)
DAMAGES = (
    *(f"UPDATE users SET {each} WHERE merged_into IS NULL" for each in OF_USERS),  # noqa: S608
    "DELETE FROM users WHERE merged_into IS NULL AND part = 0",
    "DELETE FROM users WHERE merged_into IS NOT NULL",
    "UPDATE users SET merged_into = 'kiosk' WHERE merged_into > ''",
    "DELETE FROM transitions WHERE after IN ('active', 'silent')",
    "UPDATE transitions SET retracted_at = NULL",
    "UPDATE active_users SET users = users * 2, new_users = 3",
    "DELETE FROM retention WHERE dimension = 'all'",
    "TRUNCATE lifecycle_flows",
)


async def played(site: Site, script: Sequence[Turn | Merging]) -> None:
    """Fold a script on a database that knows nothing yet."""
    await test_merges_any_script.clear(site)
    for turn in script:
        desk = await site.desk(turn.part)
        if isinstance(turn, Turn):
            values, watermark = turn.values(), turn.watermark
        else:
            values = [encode(each) for each in turn.events]
            watermark = None if turn.watermark is None else day(turn.watermark / 2)
        with suppress(StoreUnavailable):
            await desk.fold(values, now=END, watermark=watermark)


def examples(
    postgres_url: str,
    template: str,
    strategy: st.SearchStrategy[T],
    run: Callable[[Site, T], Awaitable[None]],
    *,
    number: int,
    channels: int | None = None,
) -> None:
    """Try examples on one database: partitions stay from one to the next."""
    with asyncio.Runner() as runner:
        database: Database = runner.run(servers.clone_database(postgres_url, template))
        opening = site_on(database, channels=channels)
        site = runner.run(opening.__aenter__())

        @given(strategy)
        @settings(
            max_examples=number,
            phases=(Phase.explicit, Phase.generate, Phase.shrink),
            suppress_health_check=list(HealthCheck),
        )
        def holds(example: T) -> None:
            runner.run(_one(run(site, example)))

        try:
            holds()
        finally:
            runner.run(opening.__aexit__(None, None, None))
            runner.run(servers.drop_database(postgres_url, database.name))


async def _one(run: Awaitable[None]) -> None:
    await run


SCRIPTS = st.lists(turns, min_size=1, max_size=6) | st.lists(merging, min_size=1, max_size=7)


@pytest.mark.parametrize("channels", [None, 1])
def test_after_any_script_nothing_differs(
    postgres_url: str, database_template: str, channels: int | None
) -> None:
    async def nothing_differs(site: Site, script: Sequence[Turn | Merging]) -> None:
        await played(site, script)
        assert (await rebuilt(site)).differences == []
        for part in (*range(PARTS), *range(PARTS)):
            await site.sweep(END, part=part)
        assert (await rebuilt(site)).differences == []

    examples(
        postgres_url,
        database_template,
        SCRIPTS,
        nothing_differs,
        number=NUMBER,
        channels=channels,
    )


def test_whatever_is_damaged_after_any_script_a_swap_mends(
    postgres_url: str, database_template: str
) -> None:
    async def is_mended(
        site: Site, example: tuple[Sequence[Turn | Merging], Sequence[str], bool]
    ) -> None:
        script, damages, are_swept = example
        await played(site, script)
        right = await state(site, are_swept=are_swept)
        for damage in damages:
            await site.owner.execute(damage)

        assert (await rebuilt(site, swap=True)).status == 0

        assert (await rebuilt(site)).differences == []
        assert await state(site, are_swept=are_swept) == right

    damages = st.lists(st.sampled_from(DAMAGES), min_size=1, max_size=3, unique=True)
    strategy = st.tuples(SCRIPTS, damages, st.booleans())
    examples(postgres_url, database_template, strategy, is_mended, number=NUMBER)


async def state(site: Site, *, are_swept: bool) -> object:
    """Return the users; once they are all swept, also their history and the counts."""
    for part in (*range(PARTS), *range(PARTS)) if are_swept else ():
        await site.sweep(END, part=part)
    users = await site.owner.fetch(
        "SELECT user_id, first_seen, last_seen, span_start, earlier_spans, event_count, known_at,"
        " first_day, days, channel, platform FROM users WHERE merged_into IS NULL ORDER BY user_id"
    )
    others = await site.owner.fetch(
        "SELECT user_id, merged_into FROM users WHERE merged_into > '' ORDER BY user_id"
    )
    if not are_swept:
        return users, others
    history = await site.owner.fetch(
        "SELECT user_id, at, before, after FROM transitions WHERE retracted_at IS NULL ORDER BY 1, 2"
    )
    return users, others, history, await counts.stored(site.owner)
