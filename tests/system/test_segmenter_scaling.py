"""Segmenters as processes: one joins, one dies, and what does not move goes on folding."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import asyncpg
import httpx
import pytest
import pytest_asyncio

from shared.contracts import topics
from tests.system.stack import Stack

pytestmark = [pytest.mark.system, pytest.mark.timeout(150)]

PARTITIONS = 6
SECOND = timedelta(seconds=1)


@dataclass
class Watch:
    """What the partitions' rows say, asked again and again while something happens."""

    connection: asyncpg.Connection
    epochs: dict[int, set[int]] = field(default_factory=dict)
    pauses_s: dict[int, float] = field(default_factory=dict)
    _moved_at: dict[int, tuple[int, float]] = field(default_factory=dict)

    async def rows(self) -> list[asyncpg.Record]:
        found: list[asyncpg.Record] = await self.connection.fetch(
            "SELECT part, owner, epoch, next_offset FROM consumer_partition"
            " WHERE grp = 'segmenter' AND topic = $1 ORDER BY part",
            topics.EVENTS.name,
        )
        return found

    async def look(self) -> None:
        """Note each partition's epoch, and how long its offset has stood still at most."""
        now = asyncio.get_running_loop().time()
        for row in await self.rows():
            part = row["part"]
            self.epochs.setdefault(part, set()).add(row["epoch"])
            offset, since = self._moved_at.get(part, (-1, now))
            if row["next_offset"] != offset:
                self._moved_at[part] = row["next_offset"], now
            self.pauses_s[part] = max(self.pauses_s.get(part, 0.0), now - since)

    async def shares(self) -> list[int]:
        """Return how many partitions each owner has, the fewest first."""
        owners = [row["owner"] for row in await self.rows() if row["owner"] is not None]
        return sorted(owners.count(name) for name in set(owners))

    async def repeatedly(self) -> None:
        while True:
            await self.look()
            await asyncio.sleep(0.05)


@asynccontextmanager
async def beside(work: Awaitable[None]) -> AsyncIterator[None]:
    """Do the work for as long as the body takes."""
    running = asyncio.ensure_future(work)
    try:
        yield
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def until(holds: Callable[[], Awaitable[bool]], *, within_s: float) -> float:
    """Wait until it holds; return how long that took."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    while not await holds():
        assert loop.time() - began < within_s, "it never held"
        await asyncio.sleep(0.02)
    return loop.time() - began


@dataclass
class Traffic:
    """Many users who act all the time, so that every partition always has something to fold."""

    stack: Stack
    sent: int = 0

    async def flow(self) -> None:
        async with httpx.AsyncClient(timeout=30, trust_env=False) as client:
            while True:
                await self._send(client)
                await asyncio.sleep(0.05)

    async def _send(self, client: httpx.AsyncClient) -> None:
        events = [
            {"id": f"{self.sent}-{user}", "user_id": f"user-{user}", "name": "Used"}
            for user in range(60)
        ]
        answer = await client.post(
            f"{self.stack.ingest_url}/v1/events", json=events, auth=(self.stack.write_key, "")
        )
        assert answer.json()["accepted"] == len(events), answer.text
        self.sent += len(events)


@pytest_asyncio.fixture
async def stack(tmp_path: Path, postgres_url: str) -> AsyncIterator[Stack]:
    async with Stack(
        tmp_path / "stack", postgres=postgres_url, partitions=PARTITIONS, ledger=True
    ) as running:
        yield running


@asynccontextmanager
async def watching(stack: Stack) -> AsyncIterator[Watch]:
    connection = await asyncpg.connect(stack.database.owner)
    try:
        yield Watch(connection)
    finally:
        await connection.close()


async def test_a_process_joins_and_one_dies_while_the_others_partitions_go_on(
    stack: Stack,
) -> None:
    async with watching(stack) as watch, watching(stack) as asked:
        traffic = Traffic(stack)
        flowing = asyncio.create_task(traffic.flow())
        await until(lambda: _all_move(asked), within_s=20)

        async with beside(watch.repeatedly()):
            await stack.start_service("segmenter-2", wait=False)
            await until(lambda: _joined(asked), within_s=30)
            took_s = await until(lambda: _is(asked.shares, [PARTITIONS // 2] * 2), within_s=10)
            await until(lambda: _all_move(asked), within_s=10)
        stayed = [part for part, epochs in watch.epochs.items() if len(epochs) == 1]
        await stack.ready("segmenter-2")

        stack.kill("segmenter-2")
        replaced_s = await until(lambda: _is(asked.shares, [PARTITIONS]), within_s=20)
        await until(lambda: _all_move(asked), within_s=10)
        flowing.cancel()
        await asyncio.gather(flowing, return_exceptions=True)
        await stack.caught_up(stack.now() - SECOND)

        assert took_s < 2.0
        assert len(stayed) == PARTITIONS // 2
        assert max(watch.pauses_s[part] for part in stayed) < 1.5
        assert replaced_s < 8.0
        counts = await asked.connection.fetchrow(
            "SELECT (SELECT sum(event_count) FROM users), (SELECT count(*) FROM events)"
        )
        assert tuple(counts or ()) == (traffic.sent, traffic.sent)
        await _check_ledger(asked)


async def _all_move(watch: Watch) -> bool:
    """Say whether every partition has an owner and gets on."""
    before = await watch.rows()
    await asyncio.sleep(0.5)
    after = await watch.rows()
    return len(after) == PARTITIONS and all(
        one["next_offset"] < other["next_offset"] and other["owner"] is not None
        for one, other in zip(before, after, strict=True)
    )


async def _joined(watch: Watch) -> bool:
    alive = await watch.connection.fetchval(
        "SELECT count(*) FROM consumer_worker"
        " WHERE grp = 'segmenter' AND alive_until > clock_timestamp()"
    )
    return bool(alive == 2)


async def _is(ask: Callable[[], Awaitable[list[int]]], wanted: list[int]) -> bool:
    return await ask() == wanted


async def _check_ledger(watch: Watch) -> None:
    """Each partition's batches tile its offsets, and epochs never fall."""
    gaps = await watch.connection.fetchval(
        """
        SELECT count(*) FROM (
            SELECT from_offset, epoch,
                   lag(to_offset) OVER batches AS expected, lag(epoch) OVER batches AS before
            FROM batch_ledger WHERE grp = 'segmenter'
            WINDOW batches AS (PARTITION BY topic, part ORDER BY id)
        ) AS batch
        WHERE from_offset <> expected OR epoch < before
        """
    )
    assert gaps == 0
