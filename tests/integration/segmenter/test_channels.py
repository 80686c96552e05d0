"""A bounded number of channels on a real Postgres: the first that came, for every lane and every recount."""

import asyncio
from collections.abc import AsyncIterator

import asyncpg
import msgspec
import pytest
import pytest_asyncio

from services.segmenter.outbound.channel_book import read_channels
from services.segmenter.outbound.partitions import Partitions
from shared.contracts.codec import encode
from shared.contracts.events import EventEnvelope
from shared.errors import StoreUnavailable
from tests.integration.segmenter import told_apart
from tests.integration.segmenter.kit import Site, day, event, site_on
from tests.integration.segmenter.rebuild_kit import begin, rebuilt
from tests.integration.segmenter.test_any_script import Crashing
from tests.integration.segmenter.test_rebuild_short_log import lose
from tests.integration.segmenter.test_reconciliation import recounted
from tests.servers import Database

pytestmark = pytest.mark.postgres


@pytest_asyncio.fixture
async def narrow(database: Database) -> AsyncIterator[Site]:
    """Lanes that tell two channels apart."""
    async with site_on(database, channels=2) as made:
        yield made


def by(channel: str, user_id: str, at: float = 0, *, received: float = 9) -> EventEnvelope:
    payload = msgspec.json.encode({"context": {"campaign": {"source": channel}}})
    return event(
        user_id,
        day(at),
        received_at=day(received),
        event_id=f"{user_id}-{channel}-{at}",
        payload=msgspec.Raw(payload),
    )


async def new_users(site: Site) -> dict[str, int]:
    """Return channel → users who were ever new by it."""
    rows = await site.owner.fetch(
        "SELECT value, sum(new_users)::int FROM active_users"
        " WHERE period = 'month' AND dimension = 'channel' GROUP BY 1 HAVING sum(new_users) <> 0"
    )
    return dict(map(tuple, rows))


async def nothing_differs(site: Site) -> None:
    assert (await rebuilt(site)).differences == []
    report = await recounted((await site.desk()).connection)
    assert (report.users_differing, report.cells_differing) == (0, 0)
    stored = await site.owner.fetch("SELECT DISTINCT channel FROM users WHERE merged_into IS NULL")
    apart = {*await told_apart.channels(site.owner), *told_apart.ALWAYS}
    assert {row["channel"] for row in stored} <= apart


async def test_the_first_channels_are_told_apart_and_all_others_are_one(narrow: Site) -> None:
    await narrow.fold(by("mail", "a"))
    await narrow.fold(*(by(f"junk-{each}", f"u{each}") for each in range(50)), by("mail", "b"))
    await narrow.fold(by("ads", "c"), by("mail", "d"), by("junk-0", "e"), event("f", day(9)))

    assert await told_apart.channels(narrow.owner) == ["mail", "junk-0"]
    assert await new_users(narrow) == {"mail": 3, "junk-0": 2, "other": 50, "unknown": 1}
    await nothing_differs(narrow)


async def test_what_was_counted_as_other_stays_so_where_there_is_more_room(
    database: Database,
) -> None:
    async with site_on(database, channels=1) as before:
        await before.fold(by("mail", "a"), by("search", "b"))
    async with site_on(database, channels=100) as after:
        await after.fold(by("search", "c"), by("shop", "d"), by("mail", "e"), part=1)

        assert await new_users(after) == {"mail": 2, "other": 3}
        await nothing_differs(after)


async def test_more_room_before_it_is_full_is_taken(database: Database) -> None:
    async with site_on(database, channels=1) as before:
        await before.fold(by("mail", "a"))
    async with site_on(database, channels=2) as after:
        await after.fold(by("search", "b"), part=1)

        assert await new_users(after) == {"mail": 1, "search": 1}


async def test_an_earlier_event_by_another_channel_moves_the_user_to_other_and_back(
    narrow: Site,
) -> None:
    await narrow.fold(by("mail", "a", 5), by("ads", "b", 5))
    await narrow.fold(by("shop", "a", 3))
    assert await new_users(narrow) == {"other": 1, "ads": 1}
    await nothing_differs(narrow)

    await narrow.fold(by("ads", "a", 1))

    assert await new_users(narrow) == {"ads": 2}
    await nothing_differs(narrow)


async def test_names_of_our_own_take_no_place(narrow: Site) -> None:
    await narrow.fold(by("other", "a"), by("unknown", "b"), by("mail", "c"), by("ads", "d"))

    assert await told_apart.channels(narrow.owner) == ["ads", "mail"]
    assert await new_users(narrow) == {"other": 1, "unknown": 1, "mail": 1, "ads": 1}


async def test_a_batch_that_is_rolled_back_has_decided_for_good(narrow: Site) -> None:
    desk = await narrow.desk(work=Crashing(narrow, crashes=1))
    values = [encode(by("mail", "a"))]
    with pytest.raises(StoreUnavailable):
        await desk.fold(values, now=day(9), watermark=None)

    assert await narrow.count("users") == 0
    assert await told_apart.channels(narrow.owner) == ["mail"]
    await narrow.fold(by("ads", "b"), by("shop", "c"), by("mail", "a"))
    assert await new_users(narrow) == {"mail": 1, "ads": 1, "other": 1}
    await nothing_differs(narrow)


async def test_a_segmenter_logs_that_they_are_full_and_a_rebuild_does_not(
    database: Database, capfd: pytest.CaptureFixture[str]
) -> None:
    async with site_on(database, channels=1) as full:
        await full.fold(by("mail", "a"), by("ads", "b"))
        await full.owner.execute("UPDATE users SET event_count = 7")
        logged = capfd.readouterr()

        mending = begin(full, "--swap")
        printed, said = await asyncio.to_thread(mending.communicate, timeout=60)

    assert "channels_are_full" in logged.out + logged.err
    assert '"users_differing": 2' in printed
    assert said == ""


async def test_processes_that_meet_channels_at_once_decide_alike(database: Database) -> None:
    rooms = [Partitions(database.segmenter, worker=str(number), channels=20) for number in range(4)]

    for turn in range(5):
        await asyncio.gather(
            *(
                room.admit([f"{number}-{turn}-{each}" for each in range(3)])
                for number, room in enumerate(rooms)
            )
        )
    ends = [await room.admit(["the last"]) for room in rooms]
    await asyncio.gather(*(room.stop() for room in rooms))

    owner = await asyncpg.connect(database.owner)
    found = await told_apart.channels(owner)
    _, stored = await read_channels(owner)
    await owner.close()
    assert len(found) == 20
    assert stored.is_full
    for channels in ends:
        assert channels.is_full
        assert not [each for each in found if channels.is_undecided(each)]


async def test_lanes_of_another_process_count_what_one_has_decided(database: Database) -> None:
    async with site_on(database, channels=2) as one, site_on(database, channels=2) as two:
        await one.fold(by("mail", "a"))
        await two.fold(by("ads", "b"), part=1)
        await one.fold(by("shop", "c"))
        await two.fold(by("shop", "d"), by("mail", "e"), part=1)

        assert await new_users(one) == {"mail": 2, "ads": 1, "other": 2}
        await nothing_differs(one)


async def test_a_registry_that_went_back_in_time_is_noticed_by_the_next_batch(
    narrow: Site,
) -> None:
    """As where the database was restored from a backup."""
    await narrow.fold(by("mail", "a"))
    await narrow.owner.execute("DELETE FROM channels; DELETE FROM users")

    await narrow.fold(by("mail", "b"))

    assert await told_apart.channels(narrow.owner) == ["mail"]


async def test_channels_that_an_operator_chose_are_counted_by_a_rebuild(narrow: Site) -> None:
    await narrow.fold(by("junk", "a"), by("junk-too", "b"))
    await narrow.fold(by("mail", "c"), by("mail", "d"), by("ads", "e"))
    await narrow.owner.execute(
        "UPDATE channels_book SET is_full = true; DELETE FROM channels;"
        "INSERT INTO channels (channel) VALUES ('mail'), ('ads'), ('search')"
    )

    assert (await rebuilt(narrow, swap=True)).status == 0

    assert await new_users(narrow) == {"mail": 2, "ads": 1, "other": 2}
    await narrow.fold(by("search", "f"), by("junk", "g"))
    assert await new_users(narrow) == {"mail": 2, "ads": 1, "search": 1, "other": 3}
    await nothing_differs(narrow)


async def test_a_channel_that_only_the_log_knows_is_decided_when_its_user_is_mended(
    narrow: Site,
) -> None:
    await narrow.fold(by("mail", "a"), by("ads", "b"))
    await told_apart.forget_channels(narrow.owner)
    await narrow.owner.execute("UPDATE users SET channel = 'broken'")

    assert (await rebuilt(narrow, swap=True)).status == 0

    assert sorted(await told_apart.channels(narrow.owner)) == ["ads", "mail"]


async def test_who_was_counted_before_all_their_channels_were_decided_stays_so(
    narrow: Site,
) -> None:
    """As users of a database from before there was a bound: it told apart what rows say, not what events say."""
    await narrow.fold(by("search", "a", 1), by("zoo", "a", 1))
    await narrow.owner.execute("DELETE FROM channels WHERE channel = 'zoo'")

    await narrow.fold(by("mail", "b"), by("ads", "c"))

    assert await told_apart.channels(narrow.owner) == ["search", "ads"]
    await nothing_differs(narrow)


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO channels (channel) VALUES ('mine')",
        "DELETE FROM channels",
        "UPDATE channels_book SET is_full = false",
    ],
)
async def test_the_segmenters_role_decides_by_the_book_alone(site: Site, statement: str) -> None:
    desk = await site.desk()

    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await desk.connection.execute(statement)


async def test_whom_the_log_lost_in_part_is_mended_where_an_operator_let_their_channel_go(
    narrow: Site,
) -> None:
    """They stay where they are counted, for nobody knows their first event any more."""
    await narrow.fold(by("junk", "a", 0, received=0), by("junk", "a", 20, received=20))
    await narrow.fold(by("mail", "b", 20, received=20))
    await lose(narrow, 10)
    await narrow.owner.execute(
        "UPDATE channels_book SET is_full = true; DELETE FROM channels WHERE channel = 'junk'"
    )
    await narrow.owner.execute("UPDATE users SET known_at = known_at - interval '1 day'")

    said = await rebuilt(narrow, swap=True)

    assert (said.status, said.end["left"], said.end["partly"]) == (0, 0, 1)
    assert (await rebuilt(narrow)).differences == []
    assert await new_users(narrow) == {"junk": 1, "mail": 1}


@pytest.mark.parametrize("role", ["segmenter", "api", "alerts"])
async def test_no_role_makes_lanes_read_the_channels_again_and_again(site: Site, role: str) -> None:
    connection = await asyncpg.connect(getattr(site.database, role))
    try:
        await connection.execute("CREATE TEMP TABLE mine (id int)")
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.execute(
                "CREATE TRIGGER mine AFTER INSERT ON mine EXECUTE FUNCTION channels_changed()"
            )
    finally:
        await connection.close()
