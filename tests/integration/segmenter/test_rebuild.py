"""Whatever was stored is compared with the event log: what is right is left alone, what is not is told and mended."""

import msgspec
import pytest

from shared.vocabulary import EventType
from tests.integration.segmenter import counts
from tests.integration.segmenter.kit import Site, day, event
from tests.integration.segmenter.rebuild_kit import rebuilt

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


async def damaged(site: Site, statement: str) -> None:
    """Do to a row what no lane does."""
    status = await site.owner.execute(statement)
    assert status.split()[-1] == "1", status


async def mended(site: Site) -> None:
    """Swap, and see that nothing is left to be told."""
    swapped = await rebuilt(site, swap=True)
    assert (swapped.status, swapped.end["left"]) == (0, 0)
    again = await rebuilt(site)
    assert (again.status, again.differences) == (0, [])


FIELDS = {
    "last_seen": "last_seen = last_seen + interval '1 hour'",
    "first_seen": "first_seen = first_seen - interval '1 day'",
    "event_count": "event_count = event_count + 1",
    "known_at": "known_at = known_at - interval '1 day'",
    "lifecycle": "lifecycle = 'silent'",
    "deadline": "deadline = deadline + interval '1 day'",
    "check_at": "check_at = NULL",
    "channel": "channel = 'elsewhere'",
    "part": "part = 7",
}


@pytest.mark.parametrize("field", FIELDS)
async def test_a_damaged_field_of_a_user_is_told_and_mended(site: Site, field: str) -> None:
    await some_history(site)
    counted = await counts.stored(site.owner)
    await damaged(site, f"UPDATE users SET {FIELDS[field]} WHERE user_id = 'cem'")  # noqa: S608

    said = await rebuilt(site)

    assert said.status == 1
    assert [(each["user_id"], each["field"]) for each in said.differences] == [("cem", field)]
    await mended(site)
    assert await counts.stored(site.owner) == counted


async def test_a_lost_day_is_told_and_mended_and_the_counts_stay(site: Site) -> None:
    await some_history(site)
    counted = await counts.stored(site.owner)
    await damaged(site, "UPDATE users SET days = set_bit(days, 1, 0) WHERE user_id = 'ann'")

    said = await rebuilt(site)

    assert [(each["field"], each["stored"], each["rebuilt"]) for each in said.differences] == [
        ("days", [], ["2026-01-06"])
    ]
    await mended(site)
    assert await counts.stored(site.owner) == counted


async def test_a_row_that_cannot_be_read_is_told_and_written_anew(site: Site) -> None:
    await some_history(site)
    before = await site.user("ann")
    await damaged(site, "UPDATE users SET days = set_bit(days, 0, 0) WHERE user_id = 'ann'")

    said = await rebuilt(site)

    assert [(each["kind"], each["stored"]) for each in said.differences] == [
        ("user", "what can't be read")
    ]
    await mended(site)
    assert (await site.user("ann"))["days"] == before["days"]


async def test_a_lost_transition_is_told_and_written_once_more(site: Site) -> None:
    await some_history(site)
    counted, history = await counts.stored(site.owner), await site.history("ann")
    told = len(await site.messages())
    await damaged(site, "DELETE FROM transitions WHERE user_id = 'ann' AND after = 'returned'")

    said = await rebuilt(site)

    assert [(each["kind"], each["what"], each["after"]) for each in said.differences] == [
        ("transition", "missing", "returned")
    ]
    await mended(site)
    assert await site.history("ann") == history
    assert await counts.stored(site.owner) == counted
    message = (await site.messages())[told]
    assert (message.after, message.status, message.evidence.source) == (
        "returned",
        "written",
        "web",
    )


async def test_a_transition_that_never_was_is_told_and_retracted(site: Site) -> None:
    await some_history(site)
    counted, history = await counts.stored(site.owner), await site.history("bob")
    await damaged(
        site,
        "INSERT INTO transitions (transition_id, at, user_id, kind, before, after, recorded_at, reason,"
        " policy_version) SELECT gen_random_uuid(), at + interval '1 hour', user_id, kind, after,"
        " 'churned', recorded_at, 'time_passed', 1 FROM transitions WHERE user_id = 'bob'"
        " AND after = 'new'",
    )

    said = await rebuilt(site)

    assert [(each["what"], each["after"]) for each in said.differences] == [
        ("unexpected", "churned")
    ]
    await mended(site)
    assert await site.history("bob") == history
    assert await counts.stored(site.owner) == counted
    assert (await site.messages())[-1].retracted_because == "the event log does not bear it out"


async def test_a_transition_that_stands_twice_is_told_and_stands_once(site: Site) -> None:
    await some_history(site)
    history = await site.history("cem")
    await damaged(
        site,
        "INSERT INTO transitions (transition_id, at, user_id, kind, before, after, recorded_at,"
        " reason, policy_version) SELECT gen_random_uuid(), at, user_id, kind, before, after,"
        " recorded_at, reason, policy_version FROM transitions WHERE user_id = 'cem'",
    )

    said = await rebuilt(site)

    assert [(each["what"], each["user_id"]) for each in said.differences] == [("doubled", "cem")]
    await mended(site)
    assert await site.history("cem") == history


CELLS = {
    "active_users": ("users", "users = users + 1", "period = 'month'"),
    "retention": ("users", "users = users - 1", "period = 'week' AND age = 0"),
    "lifecycle_flows": ("transitions", "transitions = transitions + 5", "after = 'churned'"),
    "lifecycle_flow_months": ("transitions", "transitions = 9", "after = 'new'"),
}


@pytest.mark.parametrize("table", CELLS)
async def test_a_wrong_count_is_told_and_mended(site: Site, table: str) -> None:
    await some_history(site)
    counted = await counts.stored(site.owner)
    field, change, which = CELLS[table]
    await damaged(
        site,
        f"UPDATE {table} SET {change} WHERE ctid ="  # noqa: S608
        f" (SELECT min(ctid) FROM {table} WHERE dimension = 'all' AND {which})",
    )

    said = await rebuilt(site)

    assert [(each["kind"], each["field"]) for each in said.differences] == [(table, field)]
    await mended(site)
    assert await counts.stored(site.owner) == counted


async def test_a_user_of_whom_the_log_knows_nothing_is_told_and_no_user_any_more(
    site: Site,
) -> None:
    await some_history(site)
    counted = await counts.stored(site.owner)
    await damaged(
        site,
        'INSERT INTO users SELECT (jsonb_populate_record(u, \'{"user_id": "dan"}\')).*'
        " FROM users AS u WHERE user_id = 'cem'",
    )

    said = await rebuilt(site)

    assert [(each["user_id"], each["field"], each["rebuilt"]) for each in said.differences] == [
        ("dan", "row", None)
    ]
    await mended(site)
    assert (await site.user("dan"))["merged_into"] == ""
    assert await counts.stored(site.owner) == counted
    await site.fold(event("dan", day(76)), part=0)
    assert (await rebuilt(site)).differences == []


async def test_a_user_who_is_gone_is_told_and_made_anew(site: Site) -> None:
    await some_history(site)
    counted, before = await counts.stored(site.owner), await site.user("ann")
    await damaged(site, "DELETE FROM users WHERE user_id = 'ann'")

    said = await rebuilt(site)

    assert [(each["user_id"], each["field"], each["stored"]) for each in said.differences] == [
        ("ann", "row", None)
    ]
    await mended(site)
    after = await site.user("ann")
    changed = {name for name, value in before.items() if value != after[name]}
    assert changed <= {"revision", "updated_at"}
    assert await counts.stored(site.owner) == counted


async def test_a_lost_row_of_an_id_that_never_did_anything_is_told_and_made_again(
    site: Site,
) -> None:
    """Only the claim knows of it: no event, no transition."""
    says = event("ann", day(0), event_id="says", active=False)
    says = msgspec.structs.replace(says, type=EventType.IDENTIFY, anonymous_id="visitor")
    await site.fold(event("ann", day(0)), says)
    await site.owner.execute("DELETE FROM users WHERE user_id = 'visitor'")

    mended = await rebuilt(site, swap=True)

    told = [(each["user_id"], each["field"], each["rebuilt"]) for each in mended.differences]
    assert told == [("visitor", "row", "an id of ann")]
    assert (await site.user("visitor"))["merged_into"] == "ann"
    assert (await rebuilt(site)).differences == []
