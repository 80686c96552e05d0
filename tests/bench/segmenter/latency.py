"""How long an event takes to be committed and seen, and a deadline to be noticed, under a live load."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta

import asyncpg

from shared.clock import SystemClock
from tests.bench import programs
from tests.bench.figures import percentile
from tests.bench.latency import EVERY_S, PROBES, Probe
from tests.bench.segmenter import product, vitals
from tests.bench.segmenter.bench import Bench
from tests.bench.segmenter.known import add_known, known_users
from tests.bench.segmenter.live import live_users
from tests.bench.segmenter.world import API_KEY, WRITE_KEY, Program, stopping, until
from tests.servers import Database

LIVE_PER_S = 1_000
SEEN_BEFORE = timedelta(minutes=5)
# What a process does once, after its start, is no latency.
WARM_UP_S = 3.0
PROBED_LOAD_PER_S = 200
# Users whose time comes during the load, evenly over it; from the start of the segmenter on it has
# so long to be ready.
DUE_USERS = 2_000
READY_WITHIN = timedelta(seconds=10)
_DEADLINES = """
    SELECT extract(epoch FROM pg_xact_commit_timestamp(xmin) - at)::float8 * 1000 AS took_ms
    FROM transitions WHERE after = 'silent' AND user_id LIKE 'due-%'
"""
_SILENT_AFTER = """
    SELECT silent_after FROM policies WHERE activated_at IS NOT NULL
    ORDER BY activated_at DESC, version DESC LIMIT 1
"""


async def silent_after(bench: Bench) -> timedelta:
    """Return how long a user is quiet before being silent, from a new system's policy."""
    async with bench.world.database() as database:
        connection = await asyncpg.connect(database.owner)
        try:
            found: timedelta = await connection.fetchval(_SILENT_AFTER)
        finally:
            await connection.close()
    return found


@asynccontextmanager
async def segmenter(bench: Bench, database: Database) -> AsyncIterator[Program]:
    """Run the product as it is, counters and all, on an empty topic."""
    await bench.world.empty_topic()
    program = bench.world.start("segmenter", database, settings=product.counters(on=True))
    async with stopping(program):
        await program.ready()
        yield program
        bench.heavy(vitals.peak_rss_mb(program.pid))


async def live(bench: Bench, database: Database, *, seconds: float) -> list[tuple[float, float]]:
    """Send live events; return when each was sent and the milliseconds until it was committed.

    Nearly all are of users who were seen before on the same day, as in a product that has been in use.
    """
    connection = await asyncpg.connect(database.owner)
    try:
        await add_known(connection, live_users(SystemClock().now() - SEEN_BEFORE))
    finally:
        await connection.close()
    written = bench.world.directory / "live.json"
    said = await programs.run(
        "segmenter.live",
        samples=written,
        bootstrap=bench.world.bootstrap,
        dsn=database.owner,
        clock_file=bench.world.clock_file,
        rate=LIVE_PER_S,
        seconds=seconds,
    )
    if said["committed"] < said["sent"]:
        raise RuntimeError(f"{said['sent'] - said['committed']} live events were never committed")
    bench.tell(
        f"{said['sent']:,} live events; a look every {said['look_p50_ms']:.1f} ms,"
        f" {said['look_p99_ms']:.1f} ms at p99"
    )
    return [(sent, took) for sent, took in json.loads(written.read_text())]


class Latency:
    """Commits and deadlines under one load, then the whole way by HTTP."""

    def __init__(self, bench: Bench) -> None:
        self._bench = bench
        self._commits: list[list[float]] = []
        self._deadlines: list[list[float]] = []
        self._posts: list[list[float]] = []

    async def run(self) -> None:
        quiet = await silent_after(self._bench)
        for _ in self._bench.rounds():
            await self._committed(quiet)
            await self._posted()
        self._report()

    async def _committed(self, quiet: timedelta) -> None:
        seconds = WARM_UP_S + self._bench.plan.seconds
        first = SystemClock().now() + READY_WITHIN
        step = timedelta(seconds=seconds) / DUE_USERS

        def last_seen(number: int) -> datetime:
            return first + number * step - quiet

        made = known_users(self._bench.world, DUE_USERS, last_seen=last_seen, prefix="due")
        async with made as database, segmenter(self._bench, database):
            await _sleep_until(first)
            samples = await live(self._bench, database, seconds=seconds)
            begun = min(sent for sent, _ in samples) + WARM_UP_S
            self._commits.append([took for sent, took in samples if sent >= begun])
            self._deadlines.append(await _deadlines(database))
        self._tell("commit", self._commits[-1])
        self._tell("deadline", self._deadlines[-1])

    async def _posted(self) -> None:
        world = self._bench.world
        async with world.database() as database, segmenter(self._bench, database):
            others = [world.start(service, database) for service in ("api", "ingest")]
            async with stopping(*others):
                await asyncio.gather(*(each.ready() for each in others))
                api, ingest = (each.port for each in others)
                self._posts.append(await self._probe(api=api, ingest=ingest))
        self._tell("post to api", self._posts[-1])

    async def _probe(self, *, api: int, ingest: int) -> list[float]:
        probe = Probe(ingest=ingest, api=api, write_key=WRITE_KEY, api_key=API_KEY)
        async with asyncio.TaskGroup() as together:
            load = together.create_task(
                programs.run(
                    "generator",
                    port=ingest,
                    key=WRITE_KEY,
                    batch=1,
                    connections=4,
                    rate=PROBED_LOAD_PER_S,
                    seconds=PROBES * EVERY_S,
                )
            )
            probing = together.create_task(probe.took_ms())
        if load.result()["refused"]:
            raise RuntimeError("events were refused under the steady load")
        return probing.result()

    def _tell(self, what: str, took_ms: list[float]) -> None:
        p50, p99 = percentile(took_ms, 0.5), percentile(took_ms, 0.99)
        self._bench.tell(f"{what}: p50 {p50:,.1f} ms, p99 {p99:,.1f} ms of {len(took_ms):,}")

    def _report(self) -> None:
        for name, runs, share in (
            ("commit_p50_ms", self._commits, 0.5),
            ("commit_p99_ms", self._commits, 0.99),
            ("post_to_api_p99_ms", self._posts, 0.99),
            ("deadline_p50_ms", self._deadlines, 0.5),
            ("deadline_p99_ms", self._deadlines, 0.99),
        ):
            self._bench.add(name, [percentile(run, share) for run in runs])


async def _sleep_until(instant: datetime) -> None:
    await asyncio.sleep(max(0.0, (instant - SystemClock().now()).total_seconds()))


async def _deadlines(database: Database) -> list[float]:
    """Return how long after its deadline each transition was committed, by the server's own dates."""
    connection = await asyncpg.connect(database.owner)

    async def all_are_silent() -> bool:
        return len(await connection.fetch(_DEADLINES)) == DUE_USERS

    try:
        await until(all_are_silent, within_s=30.0, every_s=0.5)
        rows = await connection.fetch(_DEADLINES)
    finally:
        await connection.close()
    return [row["took_ms"] for row in rows]
