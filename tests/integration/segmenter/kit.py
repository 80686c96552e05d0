"""What these tests share: lanes' turns on a real Postgres, one after the other, without a broker."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, tzinfo
from functools import partial
from itertools import count
from typing import Any
from zoneinfo import ZoneInfo

import asyncpg
from prometheus_client import CollectorRegistry

from services.segmenter.domain.calendar import Calendar
from services.segmenter.inbound.event_lane import EventLane
from services.segmenter.inbound.live_funnels import LiveFunnels
from services.segmenter.inbound.sweeps import QUIET_AFTER_S
from services.segmenter.outbound.funnel_log import PostgresFunnelLog
from services.segmenter.outbound.funnel_store import PostgresFunnelStore
from services.segmenter.outbound.identity_store import PostgresIdentities
from services.segmenter.outbound.partitions import Partitions
from services.segmenter.outbound.profile_store import KnownMerges, PostgresStore
from shared.contracts.codec import decode_transition, encode
from shared.contracts.events import EventEnvelope
from shared.contracts.transitions import TransitionMessage
from shared.database import lease, session
from shared.database.connection import Connection
from shared.database.lease import Partition
from shared.kafka.records import Record
from shared.lanes.fold import Fold, Turn
from shared.lanes.limits import LaneLimits
from shared.lanes.work import Applied, Batch, LaneWork
from shared.observability.metrics import Metrics
from shared.vocabulary import EventType
from tests.servers import Database

GROUP = "segmenter"
TOPIC = "events-of-the-test"
DAY = timedelta(days=1)
# The product's: with a half hour, and daylight saving.
ZONE = ZoneInfo("America/St_Johns")
START = datetime(2026, 1, 5, 12, 0, tzinfo=UTC)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def day(number: float) -> datetime:
    """Return the instant so many days after the start."""
    return START + number * DAY


def event(user_id: str, at: datetime, **more: Any) -> EventEnvelope:
    """Return an event that was received when it happened and has an id of its own, unless told."""
    given: dict[str, Any] = {
        "source": "web",
        "event_id": f"{user_id}@{at.isoformat()}",
        "type": EventType.TRACK,
        "name": "Used",
        "received_at": at,
    }
    return EventEnvelope(user_id=user_id, timestamp=at, **(given | more))


class Desk:
    """One partition with its claim, its position and a connection of the segmenter's role."""

    def __init__(self, connection: Connection, fold: Fold, part: int) -> None:
        self.connection = connection
        self.part = part
        self.position = 0
        self._fold = fold

    async def fold(
        self,
        values: Sequence[bytes],
        *,
        now: datetime,
        watermark: datetime | None,
        may_catch_up: bool = True,
    ) -> Applied:
        records = [
            Record(self.position + index, _millis(now), b"key", value)
            for index, value in enumerate(values)
        ]
        batch = Batch(GROUP, TOPIC, self.part, records, now, watermark, may_catch_up)
        folded = await self._fold.fold(
            Turn(batch, self.position, self.position + len(records), None)
        )
        self.position += len(records)
        return folded.applied


@dataclass
class Site:
    """A database with the segmenter's lanes on it, driven by hand."""

    database: Database
    owner: Connection
    room: Partitions
    lane: EventLane
    registry: CollectorRegistry
    desks: dict[int, Desk] = field(default_factory=dict)

    async def desk(self, part: int = 0, *, work: LaneWork | None = None) -> Desk:
        """Return the partition's desk, claimed when it is first asked for."""
        if part not in self.desks:
            self.desks[part] = await self._claim(part, work or self.lane)
        return self.desks[part]

    async def fold(
        self,
        *events: EventEnvelope | bytes,
        part: int = 0,
        now: datetime | None = None,
        watermark: datetime | None = None,
    ) -> Applied:
        """Fold one batch and commit it. Now is the latest receipt, unless told."""
        received = [each.received_at for each in events if isinstance(each, EventEnvelope)]
        values = [each if isinstance(each, bytes) else encode(each) for each in events]
        desk = await self.desk(part)
        at = now or max([*received, *([watermark] if watermark else [])], default=START)
        return await desk.fold(values, now=at, watermark=watermark)

    async def sweep(
        self, watermark: datetime, *, part: int = 0, now: datetime | None = None
    ) -> Applied:
        """Let time pass up to the watermark, as an idle lane does."""
        return await self.fold(part=part, now=now or watermark, watermark=watermark)

    async def user(self, user_id: str = "u") -> asyncpg.Record:
        row = await self.owner.fetchrow("SELECT * FROM users WHERE user_id = $1", user_id)
        assert row is not None
        return row

    async def transitions(self, user_id: str = "u") -> list[asyncpg.Record]:
        """Return every transition ever written, retracted or not."""
        rows: list[asyncpg.Record] = await self.owner.fetch(
            "SELECT * FROM transitions WHERE user_id = $1 ORDER BY at, recorded_at", user_id
        )
        return rows

    async def history(self, user_id: str = "u") -> list[tuple[datetime, str]]:
        """Return the changes that stand."""
        rows = await self.transitions(user_id)
        return [(row["at"], row["after"]) for row in rows if row["retracted_at"] is None]

    async def messages(self) -> list[TransitionMessage]:
        """Return what waits in the outbox, in its order."""
        rows = await self.owner.fetch("SELECT value FROM outbox_messages ORDER BY id, place")
        return [decode_transition(row["value"]) for row in rows]

    async def letters(self) -> dict[int, tuple[str, str | None]]:
        """Return offset → code and field of what was refused."""
        rows = await self.owner.fetch("SELECT * FROM dead_letters ORDER BY kafka_offset")
        return {row["kafka_offset"]: (row["code"], row["field"]) for row in rows}

    async def count(self, table: str) -> int:
        found: int = await self.owner.fetchval(f"SELECT count(*) FROM {table}")  # noqa: S608
        return found

    async def _claim(self, part: int, work: LaneWork) -> Desk:
        connection = await session.connect(self.database.segmenter, worker="test")
        place = Partition(GROUP, TOPIC, part)
        await lease.add_partitions(connection, [place])
        claim = await lease.claim(connection, place, "test")
        assert claim is not None
        fold = Fold(
            place,
            claim,
            worker="test",
            work=work,
            connection=connection,
            keeps_ledger=False,
            limits=LaneLimits(),
        )
        return Desk(connection, fold, part)


async def lanes_waiting(site: Site, lanes: int) -> bool:
    """Say whether so many lanes wait for somebody's lock."""
    waiting: int = await site.owner.fetchval(
        "SELECT count(*) FROM pg_stat_activity"
        " WHERE datname = current_database() AND wait_event_type = 'Lock'"
    )
    return waiting == lanes


@asynccontextmanager
async def site_on(database: Database, *, channels: int | None = None) -> AsyncIterator[Site]:
    """Give the lanes on a database; `channels`: how many are told apart."""
    owner = await asyncpg.connect(database.owner)
    room = Partitions(database.segmenter, worker="test", channels=channels)
    registry = CollectorRegistry()
    lane = lane_in(ZONE, room, registry, funnels=live_funnels())
    made = Site(database, owner, room, lane, registry)
    try:
        yield made
    finally:
        await asyncio.gather(*(desk.connection.close() for desk in made.desks.values()))
        await room.stop()
        await owner.close()


def lane_in(
    zone: tzinfo,
    room: Partitions,
    registry: CollectorRegistry,
    *,
    funnels: LiveFunnels | None = None,
) -> EventLane:
    """Return the work of a process that counts the days of the zone; those of funnels too, unless told."""
    return EventLane(
        store=partial(PostgresStore, merges=KnownMerges()),
        identities=PostgresIdentities,
        room=room,
        funnels=funnels or live_funnels(zone),
        live_window=DAY,
        calendar=Calendar(zone),
        metrics=Metrics(registry),
        # Between two turns of a test it has been quiet for a while.
        loop_time=partial(next, count(step=2 * QUIET_AFTER_S)),
    )


def live_funnels(zone: tzinfo = UTC) -> LiveFunnels:
    """Return what counts funnels by days in the zone, as a process has it."""
    return LiveFunnels(
        stores=PostgresFunnelStore,
        logs=PostgresFunnelLog,
        day_of=Calendar(zone).day_of_microsecond,
    )


def _millis(instant: datetime) -> int:
    return (instant - _EPOCH) // timedelta(milliseconds=1)
