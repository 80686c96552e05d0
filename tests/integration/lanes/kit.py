"""What the tests of lanes share: a tiny work that inserts rows, and a world of workers around it."""

import asyncio
import json
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import asyncpg
from aiokafka import AIOKafkaProducer
from prometheus_client import CollectorRegistry

from shared.clock import Clock, SystemClock
from shared.database.connection import Connection
from shared.database.outbox import OutboxMessage
from shared.kafka.log import Log
from shared.lanes.keeper import Lanes
from shared.lanes.limits import LaneLimits
from shared.lanes.work import Applied, Batch
from shared.observability.metrics import Metric, Metrics
from tests.servers import Database

SEEN = """
CREATE TABLE seen (topic text, part integer, kafka_offset bigint, value text NOT NULL
                   CHECK (value <> 'poison'));
GRANT SELECT, INSERT ON seen TO ebbtide_segmenter;
"""


@dataclass
class TinyWork:
    """Inserts a row for each record; a value of `poison` is refused by the store."""

    # Called before and inside the transaction of every batch with records: let a test interfere.
    before: Callable[[Batch], Awaitable[None]] | None = None
    inside: Callable[[Connection, Batch], Awaitable[None]] | None = None
    outbox_topic: str | None = None
    batches: list[Batch] = field(default_factory=list)

    async def prepare(self, batch: Batch) -> None:
        if batch.records and self.before is not None:
            await self.before(batch)

    async def apply(self, connection: Connection, batch: Batch) -> Applied:
        self.batches.append(batch)
        if batch.records and self.inside is not None:
            await self.inside(connection, batch)
        if any(record.value == b"broken" for record in batch.records):
            raise ValueError("a record that the work trips over")
        rows = [
            (batch.topic, batch.part, each.offset, each.value.decode()) for each in batch.records
        ]
        await connection.executemany("INSERT INTO seen VALUES ($1, $2, $3, $4)", rows)
        return Applied(messages=self._messages(batch))

    def _messages(self, batch: Batch) -> Sequence[OutboxMessage]:
        if self.outbox_topic is None:
            return ()
        return [
            OutboxMessage(self.outbox_topic, record.key or b"", record.value, batch.now)
            for record in batch.records
        ]


@dataclass
class World:
    """A topic, a database, and workers that share the topic's partitions."""

    database: Database
    bootstrap: str
    topic: str
    owner: asyncpg.Connection
    producer: AIOKafkaProducer
    group: str = field(default_factory=lambda: f"segmenter-{uuid.uuid4().hex[:8]}")
    running: list[Lanes] = field(default_factory=list)
    metrics: dict[str, Metrics] = field(default_factory=dict)

    async def worker(
        self,
        name: str,
        *,
        work: TinyWork | None = None,
        limits: LaneLimits | None = None,
        log: Log | None = None,
        clock: Clock | None = None,
    ) -> Lanes:
        """Start a worker; it is stopped with the test."""
        self.metrics[name] = Metrics(CollectorRegistry())
        lanes = Lanes(
            group=self.group,
            worker=name,
            topics=[self.topic],
            work=work or TinyWork(),
            clock=clock or SystemClock(),
            metrics=self.metrics[name],
            bootstrap=self.bootstrap,
            dsn=self.database.segmenter,
            log=log,
            ledger=True,
            limits=limits or LaneLimits(),
        )
        await lanes.start()
        self.running.append(lanes)
        return lanes

    async def kill(self, lanes: Lanes) -> None:
        """End a worker without a goodbye: tasks cut, connections dropped, its row left as it is."""
        self.running.remove(lanes)
        await lanes.abandon()

    async def stop(self, lanes: Lanes) -> None:
        self.running.remove(lanes)
        await lanes.stop()

    async def produce(self, part: int, *values: str, key: bytes = b"k") -> None:
        for value in values:
            await self.producer.send(self.topic, value.encode(), key=key, partition=part)
        await self.producer.flush()

    async def owners(self) -> dict[int, str | None]:
        rows = await self.owner.fetch(
            "SELECT part, owner FROM consumer_partition WHERE grp = $1", self.group
        )
        return {row["part"]: row["owner"] for row in rows}

    async def shares(self) -> dict[str | None, int]:
        owners = list((await self.owners()).values())
        return {name: owners.count(name) for name in set(owners)}

    async def row(self, part: int = 0) -> asyncpg.Record:
        row = await self.owner.fetchrow(
            "SELECT * FROM consumer_partition WHERE grp = $1 AND part = $2", self.group, part
        )
        assert row is not None
        return row

    async def seen(self, part: int | None = None) -> list[str]:
        rows = await self.owner.fetch(
            "SELECT value FROM seen WHERE $1::int IS NULL OR part = $1 ORDER BY part, kafka_offset",
            part,
        )
        return [row["value"] for row in rows]

    async def force(self, part: int, owner: str | None) -> None:
        """Do what a fence must survive: give a partition away over its owner's head."""
        await self.owner.execute(
            "UPDATE consumer_partition SET epoch = epoch + 1, owner = $3 WHERE grp = $1 AND part = $2",
            self.group,
            part,
            owner,
        )

    async def check_ledger(self) -> None:
        """Each partition's batches must tile the offsets, and epochs never fall."""
        rows = await self.owner.fetch(
            "SELECT part, epoch, from_offset, to_offset FROM batch_ledger WHERE grp = $1 ORDER BY id",
            self.group,
        )
        at: dict[int, tuple[int, int]] = {}
        for row in rows:
            offset, epoch = at.get(row["part"], (row["from_offset"], 0))
            assert (row["from_offset"], row["epoch"] >= epoch) == (offset, True), dict(row)
            at[row["part"]] = (row["to_offset"], row["epoch"])

    def count(self, worker: str, metric: Metric, *labels: str) -> float:
        value = self.metrics[worker].registry.get_sample_value(
            metric.name, dict(zip(metric.labels, labels, strict=True))
        )
        return value or 0.0


@asynccontextmanager
async def world(database: Database, bootstrap: str, topic: str) -> AsyncIterator[World]:
    owner = await asyncpg.connect(database.owner)
    await owner.execute(SEEN)
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap, acks="all")
    await producer.start()
    made = World(database, bootstrap, topic, owner, producer)
    try:
        yield made
    finally:
        await asyncio.gather(*(lanes.stop() for lanes in made.running))
        await producer.stop()
        await owner.close()


@dataclass
class Gate:
    """Holds the first batch that comes until the test opens it."""

    reached: asyncio.Event = field(default_factory=asyncio.Event)
    opened: asyncio.Event = field(default_factory=asyncio.Event)

    async def hold(self, *_: object) -> None:
        if not self.reached.is_set():
            self.reached.set()
            await self.opened.wait()


async def until(holds: Callable[[], Awaitable[bool]], *, within_s: float = 20.0) -> float:
    """Poll until the condition holds; return how long it took."""
    loop = asyncio.get_running_loop()
    started = loop.time()
    while not await holds():
        assert loop.time() - started < within_s, "the condition never held"
        await asyncio.sleep(0.02)
    return loop.time() - started


def values(prefix: str, count: int) -> list[str]:
    return [json.dumps(f"{prefix}{number}") for number in range(count)]
