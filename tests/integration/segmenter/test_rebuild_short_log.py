"""The log lost its first days: whom it no longer holds whole is compared and mended from there on, and no further."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta

import pytest
from hypothesis import strategies as st

from services.segmenter.outbound.event_log import opened
from services.segmenter.outbound.rebuild_snapshot import connected, taken
from services.segmenter.usecases.keep_log import LogBusy
from shared.contracts.events import EventEnvelope
from shared.errors import StoreUnavailable
from shared.vocabulary import EventType
from tests.integration.segmenter import counts, test_merges_any_script
from tests.integration.segmenter.kit import DAY, Site, day, event
from tests.integration.segmenter.rebuild_kit import rebuilt
from tests.integration.segmenter.test_rebuild_any_script import examples

pytestmark = [pytest.mark.postgres, pytest.mark.timeout(280)]

IDS = ("ann", "bob", "phone")
LATE = (timedelta(), timedelta(), -DAY, 4 * DAY)


def some_event(user_id: str, half: int, late: timedelta, anonymous_id: str | None) -> EventEnvelope:
    at = day(half / 2)
    name = f"{user_id}-{half}-{late}-{anonymous_id}"
    if anonymous_id in (None, user_id):
        return event(user_id, at, received_at=at + late, event_id=name)
    claim = {"type": EventType.IDENTIFY, "anonymous_id": anonymous_id, "active": False}
    return event(user_id, at, received_at=at + late, event_id=name, **claim)


events = st.builds(
    some_event,
    st.sampled_from(IDS),
    st.sampled_from((0, 1, 13, 14, 15, 27, 28, 29, 43, 60)),
    st.sampled_from(LATE),
    st.sampled_from((None, None, None, *IDS)),
)
batches = st.lists(events, max_size=4)


@dataclass(frozen=True)
class Script:
    """What was folded before the log lost what was received before `held_since`, and what after."""

    before: Sequence[Sequence[EventEnvelope]]
    held_since: int
    after: Sequence[Sequence[EventEnvelope]]


scripts = st.builds(
    Script,
    st.lists(batches, min_size=1, max_size=4),
    st.integers(0, 32),
    st.lists(batches, max_size=2),
)


async def lose(site: Site, days: int) -> None:
    """Lose what was received on the first days, without the pains of dropping partitions."""
    held_since = day(days).replace(hour=0)
    await site.owner.execute("DELETE FROM events WHERE received_at < $1", held_since)
    await site.owner.execute(
        "INSERT INTO log_horizon (held_since, raised_at) VALUES ($1, now())", held_since
    )
    site.room.forget()


async def folded(site: Site, script: Sequence[Sequence[EventEnvelope]]) -> None:
    for number, batch in enumerate(script):
        with suppress(StoreUnavailable):
            await site.fold(*batch, part=number % 2, now=day(40))


async def played(site: Site, script: Script) -> None:
    await test_merges_any_script.clear(site)
    await site.owner.execute("DELETE FROM log_horizon")
    site.room.forget()
    await folded(site, script.before)
    await lose(site, script.held_since)
    await folded(site, script.after)
    for part in (0, 1, 0, 1):
        await site.sweep(day(90), part=part)


def test_whatever_the_log_lost_nothing_differs_and_damage_since_then_is_mended(
    postgres_url: str, database_template: str
) -> None:
    async def holds(site: Site, script: Script) -> None:
        await played(site, script)
        said = await rebuilt(site)
        assert (said.differences, said.end["skipped"]) == ([], 0)
        history, counted = await state(site), await counts.stored(site.owner)
        since = day(script.held_since + 1).replace(hour=0)
        await site.owner.execute("DELETE FROM transitions WHERE at >= $1", since)

        mended = await rebuilt(site, swap=True)

        assert mended.status == 0
        assert await state(site) == history
        assert await counts.stored(site.owner) == counted
        assert (await rebuilt(site)).differences == []

    examples(postgres_url, database_template, scripts, holds, number=25)


async def state(site: Site) -> object:
    return await site.owner.fetch(
        "SELECT user_id, at, before, after FROM transitions WHERE retracted_at IS NULL ORDER BY 1, 2"
    )


async def some_history(site: Site) -> None:
    """One who was there before the log begins, and stays; one who had left by then; one who is new."""
    await site.fold(event("ann", day(0)), event("ann", day(8)), event("bob", day(0)))
    await site.fold(event("ann", day(13)), event("ann", day(30)), event("cem", day(30)))
    await site.sweep(day(60))
    await lose(site, 10)


FIELDS = {
    "last_seen": "last_seen = last_seen + interval '1 hour'",
    "lifecycle": "lifecycle = 'new'",
    "known_at": "known_at = known_at - interval '1 day'",
    "days": "days = set_bit(days, 13, 0)",
}


@pytest.mark.parametrize("field", FIELDS)
async def test_a_damaged_field_is_told_and_mended_as_far_as_the_log_says(
    site: Site, field: str
) -> None:
    await some_history(site)
    counted = await counts.stored(site.owner)
    await site.owner.execute(f"UPDATE users SET {FIELDS[field]} WHERE user_id = 'ann'")  # noqa: S608

    said = await rebuilt(site, swap=True)

    assert [(each["user_id"], each["field"]) for each in said.differences] == [("ann", field)]
    assert (said.end["partly"], said.end["skipped"], said.end["left"]) == (2, 0, 0)
    assert (await rebuilt(site)).differences == []
    assert await counts.stored(site.owner) == counted


async def test_what_the_history_says_of_the_lost_days_stays_as_it_is(site: Site) -> None:
    await some_history(site)
    await site.owner.execute("DELETE FROM transitions WHERE at < $1", day(10))
    left = await state(site)

    assert (await rebuilt(site, swap=True)).differences == []

    assert await state(site) == left


async def test_who_went_on_behind_the_first_day_of_the_log_which_knows_nothing_of_it_is_skipped(
    site: Site,
) -> None:
    await some_history(site)
    await site.owner.execute("DELETE FROM events WHERE user_id = 'ann'")
    row = await site.user("ann")

    said = await rebuilt(site, swap=True)

    assert (said.end["partly"], said.end["skipped"], said.differences) == (1, 1, [])
    assert await site.user("ann") == row


@pytest.mark.parametrize("user_id", ["ann", "bob"])
@pytest.mark.parametrize(
    "damage", ["earlier_spans = '{infinity,infinity}'", "first_day = '2026-01-01', days = ''"]
)
async def test_a_row_that_can_not_be_read_stays_where_the_log_alone_does_not_tell_all(
    site: Site, user_id: str, damage: str
) -> None:
    await some_history(site)
    await site.owner.execute(f"UPDATE users SET {damage} WHERE user_id = '{user_id}'")  # noqa: S608
    row, history = await site.user(user_id), await state(site)

    said = await rebuilt(site, swap=True)

    assert (said.end["skipped"], said.end["users_differing"]) == (1, 0)
    assert (await site.user(user_id), await state(site)) == (row, history)


async def test_no_day_of_the_log_is_dropped_once_a_snapshot_is_taken(site: Site) -> None:
    await some_history(site)
    async with (
        connected(site.database.segmenter, worker="test") as reading,
        taken(reading, group="segmenter") as snapshot,
        opened(site.database.segmenter, worker="test", patience=timedelta()) as log,
    ):
        await snapshot.times()
        assert log is not None
        with pytest.raises(LogBusy):
            await log.drop_oldest()

        assert [user_id async for user_id, _ in snapshot.deeds()] == ["ann", "cem"]
