"""A rebuild while the system runs: beside lanes, killed, twice at once; and of users who are not plain."""

import signal
from collections import Counter
from zoneinfo import ZoneInfo

import asyncpg
import pytest

from services.segmenter.domain.calendar import Calendar
from services.segmenter.outbound.rebuild_snapshot import FETCHED, connected, taken
from services.segmenter.rebuild import Refused
from shared.vocabulary import EventType
from tests.integration.segmenter import counts
from tests.integration.segmenter.kit import ZONE, Site, day, event
from tests.integration.segmenter.rebuild_kit import begin, begin_command, beside, rebuilt
from tests.integration.segmenter.test_log_horizon import shorten
from tests.unit.segmenter.counting_oracle import Did, recount

pytestmark = [pytest.mark.postgres, pytest.mark.timeout(120)]

MANY = 150


async def crowd(site: Site, *, users: int = MANY) -> None:
    for number in (0, 1, 40):
        await site.fold(*(event(f"user-{each:03}", day(number)) for each in range(users)))
    await site.sweep(day(41))


async def damage_many(site: Site) -> None:
    await site.owner.execute("UPDATE users SET event_count = 7, days = '\\x01'")
    await site.owner.execute("DELETE FROM transitions WHERE after = 'silent'")
    await site.owner.execute("UPDATE retention SET users = users + 3")


async def test_lanes_fold_on_while_a_swap_mends_and_nothing_is_lost(site: Site) -> None:
    await crowd(site)
    await damage_many(site)

    async def go_on(batches: int) -> None:
        """Fold for the users who are being mended, late events among them."""
        at = day(42 + batches / 100)
        users = [f"user-{(batches * 37 + each) % (MANY + 9):03}" for each in range(20)]
        late = event(f"user-{batches % MANY:03}", day(2 + batches / 1000), received_at=at)
        await site.fold(*(event(each, at) for each in users), late, now=at, watermark=at)

    async with beside(go_on):
        swapped = await rebuilt(site, swap=True)

    assert {"user", "transition", "retention"} <= swapped.kinds.keys()
    assert (swapped.status, swapped.end["left"]) == (0, 0)
    assert (await rebuilt(site)).differences == []


async def test_killed_in_the_middle_it_leaves_what_is_stored_and_the_next_one_ends_it(
    site: Site,
) -> None:
    await crowd(site)
    await damage_many(site)
    before = await site.owner.fetch("SELECT * FROM users ORDER BY user_id")
    counted = await counts.stored(site.owner)

    looking = begin(site)
    assert looking.stdout is not None
    looking.stdout.readline()
    looking.kill()
    looking.communicate()

    assert await site.owner.fetch("SELECT * FROM users ORDER BY user_id") == before
    assert await counts.stored(site.owner) == counted
    mending = begin(site, "--swap", "--rate", "20")
    assert mending.stdout is not None
    while '"mending"' not in mending.stdout.readline():
        assert mending.poll() is None
    mending.send_signal(signal.SIGKILL)
    mending.communicate()
    left = await rebuilt(site)
    assert 0 < left.end["users_differing"] < MANY
    assert (await rebuilt(site, swap=True)).end["left"] == 0
    assert (await rebuilt(site)).differences == []


async def some_are_mended(site: Site) -> None:
    while await site.count("users WHERE event_count = 7") == MANY:
        pass  # to ask takes as long as to wait


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
async def test_stopped_the_command_says_how_many_it_has_mended(
    site: Site, how: signal.Signals
) -> None:
    await crowd(site)
    await damage_many(site)
    mending = begin_command(site, "--swap", "--rate", "20")
    await some_are_mended(site)

    mending.send_signal(how)
    printed, said = mending.communicate(timeout=30)

    mended = MANY - await site.count("users WHERE event_count = 7")
    assert 0 < mended < MANY
    assert (mending.returncode, printed) == (128 + how, "")
    # Whose transaction was being committed just then may be mended, and not counted.
    assert said in [
        f"ebbtide: stopped: {told} users were mended; start it again for the rest\n"
        for told in (mended, mended - 1)
    ]
    assert (await rebuilt(site)).end["users_differing"] == MANY - mended


async def test_the_program_ends_with_the_command_that_is_killed_even_while_it_waits(
    site: Site,
) -> None:
    await crowd(site, users=1)
    other = await asyncpg.connect(site.database.owner)
    await other.execute("BEGIN")
    await other.execute("LOCK TABLE users")
    looking = begin_command(site)
    while not await site.count("pg_locks WHERE NOT granted"):
        assert looking.poll() is None

    looking.kill()
    looking.communicate(timeout=10)  # both write to this pipe: it ends with the last of them

    # Its lock is free then, and the next one may begin.
    await other.execute("SET LOCAL lock_timeout = '20s'")
    await other.execute("SELECT pg_advisory_lock(hashtext('ebbtide.rebuild'))")
    await other.close()


async def test_a_second_rebuild_at_once_is_refused(site: Site) -> None:
    other = await asyncpg.connect(site.database.segmenter)
    await other.execute("SELECT pg_advisory_lock(hashtext('ebbtide.rebuild'))")

    with pytest.raises(Refused, match="another rebuild is at it"):
        await rebuilt(site)

    await other.close()


async def test_of_whom_the_log_lost_the_beginning_it_judges_the_rest(site: Site) -> None:
    await site.fold(event("old", day(0)), event("both", day(0)))
    await site.fold(event("both", day(20)), event("fresh", day(20)))
    await site.sweep(day(41))
    await shorten(site, day(10).replace(hour=0))
    await site.owner.execute("UPDATE users SET event_count = 9 WHERE user_id = 'fresh'")

    said = await rebuilt(site)

    assert (said.end["partly"], said.end["skipped"]) == (2, 0)
    assert [(each["kind"], each["user_id"]) for each in said.differences] == [("user", "fresh")]
    await rebuilt(site, swap=True)
    assert (await rebuilt(site)).differences == []
    assert [(await site.user(each))["event_count"] for each in ("old", "both")] == [1, 2]


async def test_users_are_judged_by_the_policies_that_they_were_taken_over_to(site: Site) -> None:
    await site.fold(*(event("ann", day(number)) for number in (0, 3, 6, 20)), event("bob", day(0)))
    await site.sweep(day(25))
    await site.owner.execute(
        "INSERT INTO policies (version, new_for, silent_after, churned_after, returned_for, note,"
        " activated_at) VALUES (2, '7 days', '2 days', '9 days', '7 days', 'of a test', $1)",
        day(26),
    )
    await site.fold(event("ann", day(27)))

    said = await rebuilt(site)

    assert said.differences == []
    rows = await site.owner.fetch("SELECT policy_version FROM users ORDER BY user_id")
    assert [row["policy_version"] for row in rows] == [2, 1]


async def test_what_was_done_under_another_id_belongs_to_its_user(site: Site) -> None:
    await site.fold(event("phone", day(0)), event("ann", day(3)), event("tablet", day(40)))
    await site.fold(
        event("ann", day(4), type=EventType.IDENTIFY, anonymous_id="phone"),
        event("ann", day(41), type=EventType.IDENTIFY, anonymous_id="tablet"),
        watermark=day(41),
    )
    await site.fold(event("phone", day(60)))
    assert (await rebuilt(site)).differences == []
    await site.owner.execute("UPDATE users SET event_count = 1 WHERE user_id = 'ann'")

    said = await rebuilt(site, "phone")

    assert [(each["user_id"], each["rebuilt"]) for each in said.differences] == [("ann", 6)]
    await rebuilt(site, swap=True)
    assert (await rebuilt(site)).differences == []


async def test_only_the_named_users_are_looked_at_and_mended(site: Site) -> None:
    await crowd(site, users=5)
    await damage_many(site)

    said = await rebuilt(site, "user-001", "user-003", swap=True)

    assert {each["user_id"] for each in said.differences} == {"user-001", "user-003"}
    assert said.end["users"] == 2
    rows = await site.owner.fetch("SELECT event_count FROM users ORDER BY user_id")
    assert [row["event_count"] for row in rows] == [7, 3, 7, 3, 7]


async def test_all_is_counted_anew_in_another_time_zone(site: Site) -> None:
    await site.owner.execute("INSERT INTO product (zone) VALUES ($1)", str(ZONE))
    await crowd(site, users=4)
    zone = ZoneInfo("Pacific/Auckland")

    swapped = await rebuilt(site, swap=True, zone=str(zone))

    assert (swapped.status, swapped.end["left"]) == (0, 0)
    assert (await rebuilt(site)).differences == []
    assert await site.owner.fetchval("SELECT zone FROM product") == str(zone)
    deeds = [Did(f"user-{each:03}", day(at)) for each in range(4) for at in (0, 1, 40)]
    stored = await counts.stored(site.owner)
    assert stored.users == recount(deeds, zone).users
    hours = {Calendar(zone).hour_of(hour) for _, hour, *_ in stored.flows}
    assert hours == {hour for _, hour, *_ in stored.flows}


async def test_the_zone_is_not_changed_under_segmenters_that_run(site: Site) -> None:
    await site.owner.execute("INSERT INTO product (zone) VALUES ($1)", str(ZONE))
    await site.owner.execute(
        "INSERT INTO consumer_worker VALUES ('segmenter', 'one', now() + interval '1 hour', false)"
    )

    with pytest.raises(Refused, match="stop them first"):
        await rebuilt(site, swap=True, zone="UTC")

    assert await site.owner.fetchval("SELECT zone FROM product") == str(ZONE)


async def test_the_shadow_holds_what_the_log_says(site: Site) -> None:
    await crowd(site, users=5)
    await damage_many(site)
    await rebuilt(site)

    rows = await site.owner.fetch("SELECT user_id, event_count FROM rebuild.users")
    steps = await site.owner.fetch("SELECT after FROM rebuild.transitions")

    assert {row["event_count"] for row in rows} == {3}
    assert Counter(row["after"] for row in steps) == dict.fromkeys(
        ("new", "active", "silent", "churned", "returned"), 5
    )


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE TABLE rebuild.mine (id int)",
        "DROP TABLE rebuild.users",
        "DROP SCHEMA rebuild",
        "UPDATE product SET single = false",
    ],
)
async def test_the_role_gets_no_other_rights_by_it(site: Site, statement: str) -> None:
    await rebuilt(site)
    connection = (await site.desk()).connection

    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await connection.execute(statement)


@pytest.mark.parametrize("role", ["api", "alerts"])
async def test_no_other_role_makes_the_shadow(site: Site, role: str) -> None:
    connection = await asyncpg.connect(getattr(site.database, role))
    try:
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.execute("SELECT make_rebuild_tables()")
    finally:
        await connection.close()


async def test_a_user_with_very_many_events_is_read_in_pieces(site: Site) -> None:
    await site.fold(event("robot", day(0)))
    await site.owner.execute(
        "INSERT INTO events (source, event_id, received_at, user_id, type, timestamp, part,"
        " kafka_offset, payload) SELECT source, 'robot-' || number, received_at, user_id, type,"
        " timestamp + number * interval '1 second', part, number, payload"
        " FROM events, generate_series(1, $1) AS number",
        2 * FETCHED,
    )
    async with (
        connected(site.database.segmenter, worker="test") as connection,
        taken(connection, group="segmenter") as snapshot,
    ):
        pieces = [len(deeds) async for _, deeds in snapshot.deeds()]

    assert (sum(pieces), max(pieces)) == (2 * FETCHED + 1, FETCHED)
    assert (await rebuilt(site, swap=True)).end["users_differing"] == 1
    assert (await site.user("robot"))["event_count"] == 2 * FETCHED + 1
    assert (await rebuilt(site)).differences == []
