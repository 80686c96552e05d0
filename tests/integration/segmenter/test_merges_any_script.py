"""Whatever is claimed of whose ids, in any order, with repeats and crashes: users and history are the oracle's."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import msgspec
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from shared.contracts.codec import encode
from shared.contracts.events import EventEnvelope
from shared.database.connection import Connection
from shared.errors import StoreUnavailable
from shared.lanes.work import Applied, Batch
from shared.vocabulary import EventType
from tests import servers
from tests.integration.segmenter import counts, told_apart
from tests.integration.segmenter.identity_oracle import FIRST_LAW, Truth, check
from tests.integration.segmenter.kit import DAY, Site, day, event, site_on
from tests.integration.segmenter.test_any_script import check_what_was_told
from tests.servers import Database
from tests.unit.segmenter.oracle import Laws, Thresholds

pytestmark = [pytest.mark.postgres, pytest.mark.timeout(280)]

IDS = ("ann", "bob", "phone", "tablet", "kiosk")
PARTS = 2
END = day(400)
RECEIVED = day(121)
STRICTER = Thresholds(5 * DAY, 3 * DAY, 12 * DAY, 4 * DAY)

half_days = st.builds(
    lambda months, more: 60 * months + more,
    st.integers(0, 3),
    st.sampled_from((0, 1, 7, 13, 14, 15, 28)),
)
CAMPAIGNS = st.sampled_from(("", "mail", "search"))


def payload(campaign: str) -> msgspec.Raw:
    if not campaign:
        return msgspec.Raw(b"{}")
    return msgspec.Raw(b'{"context":{"campaign":{"source":"%s"}}}' % campaign.encode())


acts = st.builds(
    lambda user, half, campaign: event(
        user,
        day(half / 2),
        received_at=RECEIVED,
        event_id=f"{user}-{half}-{campaign}",
        payload=payload(campaign),
    ),
    st.sampled_from(IDS),
    half_days,
    CAMPAIGNS,
)
claims = st.builds(
    lambda claimed, target, half, kind, active: event(
        target,
        day(half / 2),
        received_at=RECEIVED,
        event_id=f"{claimed}>{target}@{half}{kind}{active}",
        type=kind,
        active=active,
        **{"previous_id" if kind is EventType.ALIAS else "anonymous_id": claimed},
    ),
    st.sampled_from(IDS),
    st.sampled_from(IDS),
    half_days,
    st.sampled_from((EventType.IDENTIFY, EventType.ALIAS)),
    st.booleans(),
)


@dataclass(frozen=True)
class Turn:
    """One batch of one partition, up to a watermark. `crashes` of its tries are rolled back first."""

    events: Sequence[EventEnvelope]
    part: int
    watermark: int | None
    crashes: int


turns = st.builds(
    Turn,
    st.lists(acts | claims, max_size=6),
    st.integers(0, PARTS - 1),
    st.none() | half_days,
    st.sampled_from((0, 0, 0, 1)),
)


@dataclass
class Crashing:
    """The lane's work, which sometimes ends when all is done but the commit."""

    site: Site
    crashes: int = 0

    async def prepare(self, batch: Batch) -> None:
        await self.site.lane.prepare(batch)

    async def apply(self, connection: Connection, batch: Batch) -> Applied:
        applied = await self.site.lane.apply(connection, batch)
        if not self.crashes:
            return applied
        self.crashes -= 1
        raise StoreUnavailable("the connection was lost")


@dataclass(frozen=True)
class Script:
    """Batches, and before which of them another policy is activated as of which day."""

    turns: Sequence[Turn]
    activated_before: int
    holds_from: int

    def laws(self, turn: int) -> Laws:
        later = ((day(self.holds_from), STRICTER),) if turn >= self.activated_before else ()
        return (*FIRST_LAW, *later)


scripts = st.builds(
    Script,
    st.lists(turns, min_size=1, max_size=7),
    st.integers(0, 10),  # beyond the last: never
    st.sampled_from((20, 45, 62, 95)),
)


async def activate(site: Site, holds_from: datetime) -> None:
    await site.owner.execute(
        "INSERT INTO policies (version, new_for, silent_after, churned_after, returned_for, note,"
        " created_by, created_at, activated_at) VALUES (2, $1, $2, $3, $4, 'stricter', 'a test', $5, $5)",
        STRICTER.new_for,
        STRICTER.silent_after,
        STRICTER.churned_after,
        STRICTER.returned_for,
        holds_from,
    )


async def play(site: Site, script: Script) -> Truth:
    work = Crashing(site)
    truth = Truth()
    for number, turn in enumerate(script.turns):
        if number == script.activated_before:
            await activate(site, day(script.holds_from))
        desk = await site.desk(turn.part, work=work)
        work.crashes = turn.crashes
        values = [encode(each) for each in turn.events]
        watermark = None if turn.watermark is None else day(turn.watermark / 2)
        for _ in range(turn.crashes):
            with pytest.raises(StoreUnavailable):
                await desk.fold(values, now=END, watermark=watermark)
        await desk.fold(values, now=END, watermark=watermark)
        truth.note(turn.events)
        await check(site.owner, truth, script.laws(number))
    return truth


async def clear(site: Site) -> None:
    for desk in site.desks.values():
        await desk.connection.close()
    site.desks.clear()
    await site.owner.execute("DELETE FROM policies WHERE version > 1")
    tables = "users, events, transitions, outbox, dead_letters, consumer_partition"
    for table in f"{tables}, identity_claims, merges, {counts.TABLES}".split(", "):
        await site.owner.execute(f"DELETE FROM {table}")  # noqa: S608  far faster than to truncate
    await told_apart.forget_channels(site.owner)


@pytest.mark.parametrize(("channels", "examples"), [(None, 50), (1, 20)])
def test_whatever_is_claimed_in_any_order_ends_in_the_users_of_the_oracle(
    postgres_url: str, database_template: str, channels: int | None, examples: int
) -> None:
    with asyncio.Runner() as runner:
        database: Database = runner.run(servers.clone_database(postgres_url, database_template))
        opening = site_on(database, channels=channels)
        site = runner.run(opening.__aenter__())

        @given(scripts)
        @settings(
            max_examples=examples,
            phases=(Phase.explicit, Phase.generate, Phase.shrink),
            suppress_health_check=list(HealthCheck),
        )
        def holds(script: Script) -> None:
            async def run() -> None:
                await clear(site)
                truth = await play(site, script)
                for part in (*range(PARTS), *range(PARTS)):
                    await site.sweep(END, part=part)
                await check(site.owner, truth, script.laws(len(script.turns) - 1))
                assert await site.count("users WHERE deadline IS NOT NULL") == 0
                assert await site.count("events") == len(truth.events)
                await check_what_was_told(site)

            runner.run(run())

        try:
            holds()
        finally:
            runner.run(opening.__aexit__(None, None, None))
            runner.run(servers.drop_database(postgres_url, database.name))
