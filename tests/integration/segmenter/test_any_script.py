"""Whatever comes, in any order, with repeats, crashes and sweeps: users, history and counts are the oracle's."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from services.segmenter.domain.origin import origin_of
from shared.contracts.codec import encode
from shared.contracts.events import EventEnvelope
from shared.database.connection import Connection
from shared.errors import RejectedByStore, StoreUnavailable
from shared.lanes.work import Applied, Batch
from tests import servers
from tests.integration.segmenter import counts, told_apart
from tests.integration.segmenter.kit import ZONE, Site, day, event, site_on
from tests.servers import Database
from tests.unit.segmenter import oracle
from tests.unit.segmenter.counting_oracle import Did, recount
from tests.unit.segmenter.oracle import DEFAULTS

pytestmark = [pytest.mark.postgres, pytest.mark.timeout(180)]

USERS = ("ann", "bob")
PARTS = 2
END = day(400)
# The latest receipt of all: nothing is older than the duplicate window, and no instant is ahead.
RECEIVED = day(121)
POISON = encode(event("nobody", day(0), name="a\x00b"))


def payload_from(channel: str) -> msgspec.Raw:
    return msgspec.Raw(f'{{"context":{{"campaign":{{"source":"{channel}"}}}}}}'.encode())


# Few enough that gaps of exactly 7 and 30 days come up in most scripts.
half_days = st.builds(
    lambda months, more: 60 * months + more,
    st.integers(0, 3),
    st.sampled_from((0, 1, 7, 13, 14, 15, 28)),
)
acts = st.builds(
    lambda user, half, active: event(
        user,
        day(half / 2),
        received_at=RECEIVED,
        active=active,
        event_id=f"{user}-{half}-{active}",
        payload=payload_from(f"channel-{half % 3}"),
    ),
    st.sampled_from(USERS),
    half_days,
    st.sampled_from((True, True, True, False)),
)


@dataclass(frozen=True)
class Turn:
    """One batch of one partition, up to a watermark. `crashes` of its tries are rolled back first.

    With `poison` in its middle a batch is applied in pieces.
    """

    events: Sequence[EventEnvelope]
    part: int
    watermark: datetime | None
    crashes: int
    poison: bool

    def values(self) -> list[bytes]:
        values = [encode(each) for each in self.events]
        if self.poison:
            values.insert(len(values) // 2, POISON)
        return values


turns = st.builds(
    Turn,
    st.lists(acts, max_size=6),
    st.integers(0, PARTS - 1),
    st.none() | half_days.map(lambda half: day(half / 2)),
    st.sampled_from((0, 0, 0, 1, 2)),
    st.sampled_from((False, False, False, True)),
)


@dataclass
class Crashing:
    """The lane's work, which sometimes ends when all is done but the commit."""

    site: Site
    crashes: int = 0

    async def prepare(self, batch: Batch) -> None:
        await self.site.lane.prepare(batch)

    async def apply(self, connection: Connection, batch: Batch) -> Applied:
        if not self.crashes:
            return await self.site.lane.apply(connection, batch)
        self.crashes -= 1
        with suppress(RejectedByStore):
            await self.site.lane.apply(connection, batch)
        raise StoreUnavailable("the connection was lost")


@dataclass
class Expected:
    """What was done, by user, each event once."""

    done: dict[str, list[datetime]] = field(default_factory=dict)
    deeds: list[Did] = field(default_factory=list)
    ids: set[str] = field(default_factory=set)

    def note(self, events: Sequence[EventEnvelope]) -> None:
        for each in events:
            if each.event_id not in self.ids:
                self.ids.add(each.event_id)
                if each.active:
                    self.done.setdefault(each.user_id, []).append(each.timestamp)
                    origin = origin_of(bytes(each.payload))
                    self.deeds.append(Did(each.user_id, each.timestamp, origin))


async def play(site: Site, script: Sequence[Turn]) -> Expected:
    work = Crashing(site)
    expected = Expected()
    for turn in script:
        desk = await site.desk(turn.part, work=work)
        work.crashes = turn.crashes
        for _ in range(turn.crashes):
            with pytest.raises(StoreUnavailable):
                await desk.fold(turn.values(), now=END, watermark=turn.watermark)
        await desk.fold(turn.values(), now=END, watermark=turn.watermark)
        expected.note(turn.events)
        await check(site, expected)
    return expected


async def check(site: Site, expected: Expected) -> None:
    """Compare every user with the oracle, up to where their history is written."""
    users = {row["user_id"]: row for row in await site.owner.fetch("SELECT * FROM users")}
    assert users.keys() == expected.done.keys()
    standing = await _standing(site)
    for user_id, row in users.items():
        done = expected.done[user_id]
        settled = max(row["last_seen"], row["lifecycle_since"])
        steps = oracle.history(done, DEFAULTS, settled)
        assert standing[user_id] == steps
        assert (row["lifecycle_since"], row["lifecycle"]) == (steps[-1][0], steps[-1][2])
        assert (row["first_seen"], row["last_seen"]) == (min(done), max(done))
        assert row["event_count"] == len(done)
        deadline = None if row["deadline"] is None else (row["deadline"], row["deadline_to"])
        assert deadline == oracle.next_change(done, DEFAULTS, settled)
    assert await counts.stored(site.owner) == recount(
        await told_apart.counted(site.owner, expected.deeds), ZONE, counts.steps_of(standing)
    )


async def check_what_was_told(site: Site) -> None:
    """Whoever follows the messages knows what stands: each written once, each retraction after it."""
    told: dict[Any, tuple[str, oracle.Change]] = {}
    for message in await site.messages():
        change = (message.at, message.before, message.after)
        if message.status == "retracted":
            assert told.pop(message.transition_id) == (message.user_id, change)
        else:
            assert message.transition_id not in told
            told[message.transition_id] = message.user_id, change
    standing = await _standing(site)
    assert sorted(told.values(), key=repr) == sorted(
        ((user, change) for user, changes in standing.items() for change in changes), key=repr
    )


async def _standing(site: Site) -> dict[str, list[oracle.Change]]:
    found: dict[str, list[oracle.Change]] = {}
    for row in await site.owner.fetch(
        "SELECT * FROM transitions WHERE retracted_at IS NULL ORDER BY at"
    ):
        change = row["at"], row["before"], row["after"]
        found.setdefault(row["user_id"], []).append(change)
    return found


async def clear(site: Site) -> None:
    for desk in site.desks.values():
        await desk.connection.close()
    site.desks.clear()
    await site.owner.execute(
        "TRUNCATE users, events, transitions, outbox, dead_letters, consumer_partition,"
        f" {counts.TABLES}"
    )
    await told_apart.forget_channels(site.owner)


@pytest.mark.parametrize(("channels", "examples"), [(None, 70), (1, 30)])
def test_any_script_ends_in_the_users_and_the_history_of_the_oracle(
    postgres_url: str, database_template: str, channels: int | None, examples: int
) -> None:
    """Partitions stay from one example to the next, so that making them is not all that is done."""
    with asyncio.Runner() as runner:
        database: Database = runner.run(servers.clone_database(postgres_url, database_template))
        opening = site_on(database, channels=channels)
        site = runner.run(opening.__aenter__())

        @given(st.lists(turns, min_size=1, max_size=8))
        @settings(
            max_examples=examples,
            phases=(Phase.explicit, Phase.generate, Phase.shrink),
            suppress_health_check=list(HealthCheck),
        )
        def holds(script: list[Turn]) -> None:
            async def run() -> None:
                await clear(site)
                expected = await play(site, script)
                for part in range(PARTS):
                    await site.sweep(END, part=part)
                    await site.sweep(END, part=part)
                await check(site, expected)
                assert await site.count("users WHERE deadline IS NOT NULL") == 0
                assert await site.count("events") == len(expected.ids)
                await check_what_was_told(site)
                if channels:
                    assert len(await told_apart.channels(site.owner)) <= channels

            runner.run(run())

        try:
            holds()
        finally:
            runner.run(opening.__aexit__(None, None, None))
            runner.run(servers.drop_database(postgres_url, database.name))
