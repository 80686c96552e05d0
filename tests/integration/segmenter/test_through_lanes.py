"""Events through real lanes on a real broker: once each, whoever works and whoever dies."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial

import pytest
import pytest_asyncio
from prometheus_client import CollectorRegistry

from services.segmenter.domain.calendar import Calendar
from services.segmenter.inbound.event_lane import EventLane
from services.segmenter.outbound.identity_store import PostgresIdentities
from services.segmenter.outbound.partitions import Partitions
from services.segmenter.outbound.profile_store import KnownMerges, PostgresStore
from shared.clock import Clock
from shared.contracts.codec import encode
from shared.contracts.events import EventEnvelope
from shared.lanes.keeper import Lanes
from shared.lanes.limits import LaneLimits
from shared.observability import metrics as m
from shared.observability.metrics import Metrics
from tests.integration.lanes.kit import World, until, world
from tests.integration.segmenter.kit import DAY, START, day, event, live_funnels
from tests.servers import Database, MakeTopic

pytestmark = [pytest.mark.kafka, pytest.mark.postgres]

PARTS = 3


class StoppedClock(Clock):
    def __init__(self, instant: datetime) -> None:
        self.instant = instant

    def now(self) -> datetime:
        return self.instant


class Crew:
    """Workers that fold the topic as the segmenter does, on one clock."""

    def __init__(self, made: World) -> None:
        self.world = made
        self.clock = StoppedClock(START)
        self.rooms: list[Partitions] = []

    async def worker(self, name: str, *, limits: LaneLimits | None = None) -> Lanes:
        """Start a worker; it is stopped with the test."""
        made, metrics = self.world, Metrics(CollectorRegistry())
        made.metrics[name] = metrics
        room = Partitions(made.database.segmenter, worker=name)
        self.rooms.append(room)
        lanes = Lanes(
            group=made.group,
            worker=name,
            topics=[made.topic],
            work=EventLane(
                store=partial(PostgresStore, merges=KnownMerges()),
                identities=PostgresIdentities,
                room=room,
                funnels=live_funnels(),
                live_window=DAY,
                calendar=Calendar(UTC),
                metrics=metrics,
            ),
            clock=self.clock,
            metrics=metrics,
            bootstrap=made.bootstrap,
            dsn=made.database.segmenter,
            log=None,
            ledger=True,
            limits=limits or LaneLimits(),
        )
        await lanes.start()
        made.running.append(lanes)
        return lanes

    async def send(self, events: Sequence[EventEnvelope | bytes], *, part: int) -> None:
        told = []
        for each in events:
            value, at = (
                (each, START) if isinstance(each, bytes) else (encode(each), each.received_at)
            )
            sent = await self.world.producer.send(
                self.world.topic, value, partition=part, timestamp_ms=int(at.timestamp() * 1000)
            )
            told.append(sent)
        await asyncio.gather(*told)

    async def folded(self, count: int) -> bool:
        return bool(await self.world.owner.fetchval("SELECT count(*) FROM events") == count)

    async def history(self, user_id: str) -> list[tuple[datetime, str]]:
        rows = await self.world.owner.fetch(
            "SELECT at, after FROM transitions"
            " WHERE user_id = $1 AND retracted_at IS NULL ORDER BY at",
            user_id,
        )
        return [(row["at"], row["after"]) for row in rows]


@pytest_asyncio.fixture
async def crew(database: Database, kafka_bootstrap: str, topic: MakeTopic) -> AsyncIterator[Crew]:
    async with world(
        database, kafka_bootstrap, await topic(partitions=PARTS, retention_ms="-1")
    ) as made:
        it = Crew(made)
        yield it
        for lanes in list(made.running):
            await made.stop(lanes)
        for room in it.rooms:
            await room.stop()


async def test_users_and_their_events_arrive_and_time_passes_where_nothing_comes(
    crew: Crew,
) -> None:
    for part in range(PARTS):
        await crew.send([event(f"u{part}", START), event(f"u{part}", day(1))], part=part)
    crew.clock.instant = day(1)
    await crew.worker("one")
    await until(lambda: crew.folded(2 * PARTS))

    crew.clock.instant = day(40)

    async def all_churned() -> bool:
        rows = await crew.world.owner.fetch("SELECT lifecycle FROM users")
        return [row["lifecycle"] for row in rows] == ["churned"] * PARTS

    await until(all_churned)
    steps = [(START, "new"), (day(7), "active"), (day(8), "silent"), (day(31), "churned")]
    assert [await crew.history(f"u{part}") for part in range(PARTS)] == [steps] * PARTS


async def test_a_user_whose_events_wait_in_the_log_is_not_declared_silent(crew: Crew) -> None:
    """One record at a time, so that nearly all of the time something waits."""
    await crew.send([event("u", day(number)) for number in range(40)], part=0)
    crew.clock.instant = day(40)

    await crew.worker("one", limits=LaneLimits(batch_records=1))
    await until(lambda: crew.folded(40))

    rows = await crew.world.owner.fetch("SELECT after FROM transitions ORDER BY at")
    assert [row["after"] for row in rows] == ["new", "active"]


async def test_broken_records_stop_no_lane(crew: Crew) -> None:
    broken = [
        b"{",
        encode(event("odd", START, received_at=datetime(2500, 1, 1, tzinfo=UTC))),
        b"",
        b"null",
    ]
    await crew.send([event("u", START), *broken, event("u", day(1))], part=0)
    crew.clock.instant = day(1)

    await crew.worker("one")
    await until(lambda: _at(crew, 6))

    letters = await crew.world.owner.fetch(
        "SELECT kafka_offset, code, reason FROM dead_letters ORDER BY kafka_offset"
    )
    assert [row["kafka_offset"] for row in letters] == [1, 2, 3, 4], letters
    assert await crew.folded(2)
    row = await crew.world.row(0)
    assert (row["next_offset"], row["frozen_reason"]) == (6, None)
    assert crew.world.count("one", m.LANE_RESTARTS, crew.world.group, "OverflowError") == 0


async def test_one_user_through_all_partitions_at_once_is_one_user(crew: Crew) -> None:
    """Each partition repeats a third of what the others have, and each has its own third."""
    many = 60
    acts = [event("u", START + timedelta(minutes=number)) for number in range(many)]
    for part in range(PARTS):
        await crew.send([each for index, each in enumerate(acts) if index % 3 != part], part=part)
    crew.clock.instant = day(1)

    await crew.worker("one", limits=LaneLimits(batch_records=3))
    await crew.worker("two", limits=LaneLimits(batch_records=3))

    async def read_out() -> bool:
        rows = await crew.world.owner.fetch("SELECT next_offset FROM consumer_partition")
        return [row["next_offset"] for row in rows] == [many * 2 // 3] * PARTS

    await until(read_out)
    user = await crew.world.owner.fetchrow("SELECT event_count, first_seen, last_seen FROM users")
    assert tuple(user or ()) == (many, acts[0].timestamp, acts[-1].timestamp)
    assert await crew.history("u") == [(START, "new")]


async def test_a_worker_that_dies_leaves_every_event_folded_once(crew: Crew) -> None:
    everybody = [f"user-{number}" for number in range(30)]
    doomed = await crew.worker("doomed", limits=LaneLimits(batch_records=7))
    for part in range(PARTS):
        await crew.send([event(f"{user}-{part}", START) for user in everybody], part=part)

    await crew.world.kill(doomed)
    await crew.worker("one")
    for part in range(PARTS):
        await crew.send([event(f"{user}-{part}", day(1)) for user in everybody], part=part)
    crew.clock.instant = day(1)

    await until(lambda: crew.folded(2 * PARTS * len(everybody)))
    rows = await crew.world.owner.fetch("SELECT DISTINCT event_count, lifecycle FROM users")
    assert [tuple(row) for row in rows] == [(2, "new")]
    await crew.world.check_ledger()


async def _at(crew: Crew, offset: int) -> bool:
    rows = await crew.world.owner.fetch(
        "SELECT next_offset FROM consumer_partition WHERE grp = $1 AND part = 0", crew.world.group
    )
    return [row["next_offset"] for row in rows] == [offset]
