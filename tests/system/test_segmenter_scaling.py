"""Segmenters as processes: some join, some leave, some die, partitions are added; what does not move goes on."""

import asyncio
import sys
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from statistics import median

import asyncpg
import httpx
import pytest
import pytest_asyncio
from aiokafka.admin import AIOKafkaAdminClient, NewPartitions

from shared.contracts import topics
from shared.kafka.write_limits import LogLimits
from shared.lanes.limits import LaneLimits
from tests.system.stack import Stack

pytestmark = [pytest.mark.system, pytest.mark.timeout(240)]

PARTITIONS = 6
USERS = 60
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

    async def shared_by(self, workers: int, *, within_s: float = 15.0) -> float:
        """Wait until so many owners have fair shares; return how long that took."""
        each, extra = divmod(PARTITIONS, workers)
        fair = sorted(each + (number < extra) for number in range(workers))
        return await until(lambda: _is(self.shares, fair), within_s=within_s)

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


def tell(capsys: pytest.CaptureFixture[str], *lines: str) -> None:
    """Show what was measured, also when the test is green."""
    with capsys.disabled():
        sys.stdout.write("\n" + "\n".join(lines) + "\n")


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
    apart_s: float = 0.05
    rounds: int = 0
    _stopping: bool = False

    @property
    def sent(self) -> int:
        return self.rounds * USERS

    async def flow(self) -> None:
        async with httpx.AsyncClient(timeout=30, trust_env=False) as client:
            while not self._stopping:
                await self._send(client)
                await asyncio.sleep(self.apart_s)

    @asynccontextmanager
    async def flowing(self) -> AsyncIterator[None]:
        """Let it flow for as long as the body takes, and end with a whole round."""
        running = asyncio.create_task(self.flow())
        try:
            yield
        finally:
            self._stopping = True
            await running

    async def _send(self, client: httpx.AsyncClient) -> None:
        events = [
            {"id": f"{self.rounds}-{user}", "user_id": f"user-{user}", "name": "Used"}
            for user in range(USERS)
        ]
        answer = await client.post(
            f"{self.stack.ingest_url}/v1/events", json=events, auth=(self.stack.write_key, "")
        )
        assert answer.json()["accepted"] == len(events), answer.text
        self.rounds += 1


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
        async with traffic.flowing():
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
        await stack.caught_up(stack.now() - SECOND)

        assert took_s < 2.0
        assert len(stayed) == PARTITIONS // 2
        assert max(watch.pauses_s[part] for part in stayed) < 1.5
        assert replaced_s < 8.0
        await _check_everything(asked, traffic)


async def test_a_process_that_joins_or_leaves_in_order_stops_only_what_moves_and_not_for_long(
    stack: Stack, capsys: pytest.CaptureFixture[str]
) -> None:
    """One to four processes and back to two, under steady load; measured from what batches covered."""
    names = ["segmenter-2", "segmenter-3", "segmenter-4"]
    async with watching(stack) as watch:
        traffic = Traffic(stack)
        steps: list[Step] = []
        async with traffic.flowing():
            await until(lambda: _all_move(watch), within_s=20)
            for number, name in enumerate(names, start=2):
                step = await Step.begin(watch, f"{name} joins")
                await stack.start_service(name)
                await watch.shared_by(number)
                steps.append(await step.end(watch))
                newcomer = step.owner_of(stack, name)
                assert set(step.moves().values()) == {newcomer}
                assert len(step.moves()) == PARTITIONS // number

            for left, name in ((3, "segmenter-3"), (2, "segmenter-4")):
                step = await Step.begin(watch, f"{name} leaves")
                leaver = step.owner_of(stack, name)
                theirs = {part for part, owner in step.before.items() if owner == leaver}
                assert await stack.stop(name)
                await watch.shared_by(left)
                steps.append(await step.end(watch))
                assert set(step.moves()) == theirs
        await stack.caught_up(stack.now() - SECOND)

        for step in steps:
            await step.measure(watch)
        tell(capsys, *map(str, steps))
        # Each partition that moved was claimed once, and no other was claimed at all.
        assert all(step.claims == dict.fromkeys(step.moves(), 1) for step in steps)
        assert median(pause for step in steps for pause in step.pauses_s.values()) < 1.0
        assert median(gap for step in steps for gap in step.still_s.values()) < 1.0
        await _check_everything(watch, traffic)


async def test_six_processes_share_the_load_and_two_that_die_at_once_are_replaced(
    stack: Stack, capsys: pytest.CaptureFixture[str]
) -> None:
    more = [f"segmenter-{number}" for number in range(2, 7)]
    async with watching(stack) as watch:
        traffic = Traffic(stack, apart_s=0.1)
        async with traffic.flowing():
            for name in more:
                await stack.start_service(name, wait=False)
            for name in more:
                await stack.ready(name)
            await watch.shared_by(6)
            await until(lambda: _all_move(watch), within_s=20)

            stack.kill("segmenter-3")
            stack.kill("segmenter-5")
            replaced_s = await watch.shared_by(4, within_s=30)
            await until(lambda: _all_move(watch), within_s=20)
        await stack.caught_up(stack.now() - SECOND)

        tell(capsys, f"two of six killed: replaced after {replaced_s:.1f} s")
        assert replaced_s < 8.0
        await _check_everything(watch, traffic)


async def test_partitions_are_added_to_a_running_system_and_every_event_counts_once(
    tmp_path: Path, postgres_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """4 become 8 under load: a user's events then come by two partitions."""
    async with (
        Stack(
            tmp_path / "stack", postgres=postgres_url, partitions=4, segmenters=2, ledger=True
        ) as stack,
        watching(stack) as watch,
    ):
        traffic = Traffic(stack)
        async with traffic.flowing():
            await until(lambda: _all_move(watch, 4), within_s=20)
            await _grow(stack, 8)
            owned_s = await until(lambda: _is(watch.shares, [4, 4]), within_s=60)
            used_s = await until(lambda: _all_move(watch, 8), within_s=60)
        await stack.caught_up(stack.now() - SECOND)

        tell(capsys, f"4 to 8 partitions: owned after {owned_s:.1f} s, used {used_s:.1f} s later")
        survey_s = LaneLimits().partitions_s
        assert owned_s < survey_s + 5
        # By then ingest has asked the brokers again, too.
        assert owned_s + used_s < LogLimits().metadata_max_age_ms / 1000 + 10
        by_two = await watch.connection.fetchval(
            "SELECT count(*) FROM (SELECT FROM events GROUP BY user_id HAVING count(DISTINCT part) = 2)"
            " AS moved"
        )
        assert 0 < by_two < USERS
        await _check_everything(watch, traffic)


@dataclass
class Step:
    """What one process that joins or leaves brings about: owners before and after, and how long each

    partition stood still, as the ledger of batches tells.
    """

    what: str
    began_at: datetime
    before: Mapping[int, str | None]
    after: Mapping[int, str | None] = field(default_factory=dict)
    ended_at: datetime | None = None
    claims: dict[int, int] = field(default_factory=dict)
    pauses_s: dict[int, float] = field(default_factory=dict)
    still_s: dict[int, float] = field(default_factory=dict)

    @classmethod
    async def begin(cls, watch: Watch, what: str) -> "Step":
        return cls(what, await _database_now(watch), await _owners(watch))

    async def end(self, watch: Watch) -> "Step":
        """Note who has what now, once everything moves again."""
        await until(lambda: _all_move(watch), within_s=15)
        self.after, self.ended_at = await _owners(watch), await _database_now(watch)
        return self

    def moves(self) -> dict[int, str | None]:
        return {part: owner for part, owner in self.after.items() if owner != self.before[part]}

    def owner_of(self, stack: Stack, name: str) -> str:
        """Return the worker's name of a process: it has the process' number in it."""
        owners = {owner for owner in (*self.before.values(), *self.after.values()) if owner}
        [found] = [owner for owner in owners if owner.split("-")[-2] == str(stack.pid(name))]
        return found

    async def measure(self, watch: Watch) -> None:
        """Read from the ledger how long each partition had no batch, and across which claim."""
        rows = await watch.connection.fetch(
            """
            SELECT part, epoch <> before AS claimed, extract(epoch FROM at - previous)::float8 AS gap_s
            FROM (SELECT part, epoch, written_at AS at, lag(epoch) OVER batches AS before,
                         lag(written_at) OVER batches AS previous
                  FROM batch_ledger WHERE grp = 'segmenter'
                  WINDOW batches AS (PARTITION BY topic, part ORDER BY id)) AS batch
            WHERE at > $1 AND at <= $2 AND previous IS NOT NULL
            """,
            self.began_at,
            self.ended_at,
        )
        self.claims = dict(Counter(row["part"] for row in rows if row["claimed"]))
        for row in rows:
            longest = self.pauses_s if row["part"] in self.moves() else self.still_s
            if row["claimed"] or longest is self.still_s:
                longest[row["part"]] = max(longest.get(row["part"], 0.0), row["gap_s"])

    def __str__(self) -> str:
        moved = ", ".join(f"{part}: {s * 1000:.0f} ms" for part, s in sorted(self.pauses_s.items()))
        still = max(self.still_s.values(), default=0.0)
        return (
            f"{self.what}: moved {moved or 'nothing'}; longest gap elsewhere {still * 1000:.0f} ms"
        )


async def _owners(watch: Watch) -> dict[int, str | None]:
    return {row["part"]: row["owner"] for row in await watch.rows()}


async def _database_now(watch: Watch) -> datetime:
    now: datetime = await watch.connection.fetchval("SELECT clock_timestamp()")
    return now


async def _grow(stack: Stack, count: int) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=stack.bootstrap)
    await admin.start()
    try:
        await admin.create_partitions({topics.EVENTS.name: NewPartitions(total_count=count)})
    finally:
        await admin.close()


async def _all_move(watch: Watch, partitions: int = PARTITIONS) -> bool:
    """Say whether every partition has an owner and gets on."""
    before = await watch.rows()
    await asyncio.sleep(0.5)
    after = await watch.rows()
    return len(before) == len(after) == partitions and all(
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


async def _check_everything(watch: Watch, traffic: Traffic) -> None:
    """Every event counted once, every user is exact, and no batch was torn."""
    events = await watch.connection.fetchval("SELECT count(*) FROM events")
    counts = await watch.connection.fetch("SELECT user_id, event_count FROM users")
    assert events == traffic.sent
    assert {row["user_id"]: row["event_count"] for row in counts} == {
        f"user-{number}": traffic.rounds for number in range(USERS)
    }
    await _check_ledger(watch)


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
