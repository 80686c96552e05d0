"""100,000 users whose time comes at the same instant: how fast they are moved, and who waits for it."""

import asyncio
import time
from datetime import datetime, timedelta

import asyncpg

from shared.clock import Drive, SystemClock, write_drive
from tests.bench import programs
from tests.bench.figures import percentile
from tests.bench.segmenter.bench import Bench
from tests.bench.segmenter.known import known_users
from tests.bench.segmenter.latency import WARM_UP_S, live, segmenter, silent_after
from tests.bench.segmenter.world import until
from tests.servers import Database

USERS = 100_000
PREFIX = "due"
# Product time before the jump, and how far behind the deadline it lands.
AHEAD = timedelta(hours=1)
PAST = timedelta(seconds=2)
SWEPT_WITHIN_S = 90.0
_MOVED = "SELECT count(*) FROM transitions WHERE after = 'silent'"
_DONE = "SELECT max(pg_xact_commit_timestamp(xmin)) FROM transitions WHERE after = 'silent'"


class Sweep:
    """Alone, beside the same rows written bare; then under a live load."""

    def __init__(self, bench: Bench) -> None:
        self._bench = bench
        self._world = bench.world
        self._rates: list[float] = []
        self._limits: list[float] = []
        self._idle: list[float] = []
        self._during: list[float] = []
        self._due = SystemClock().now()

    async def run(self) -> None:
        quiet = await silent_after(self._bench)
        self._due = SystemClock().now() + AHEAD

        def last_seen(_number: int) -> datetime:
            return self._due - quiet

        self._bench.tell(f"preparing {USERS:,} users who are due at the same instant")
        async with known_users(self._world, USERS, last_seen=last_seen, prefix=PREFIX) as template:
            for _ in self._bench.rounds():
                await self._bare(template)
                await self._alone(template)
                await self._under_load(template)
        self._world.clock_file.unlink(missing_ok=True)
        self._bench.add("sweep", self._rates, self._limits)
        self._bench.add("sweep_live_p99_over_idle", self._during, self._idle)

    async def _bare(self, template: Database) -> None:
        async with self._world.database(template) as database:
            said = await programs.run("segmenter.raw_sweep", dsn=database.owner)
        self._bench.tell(f"bare upsert and COPY: {said['users_per_s']:,.0f} users/s")
        self._limits.append(said["users_per_s"])

    async def _alone(self, template: Database) -> None:
        self._drive(self._due - AHEAD / 2)
        async with self._world.database(template) as database, segmenter(self._bench, database):
            jumped = self._jump()
            rate = USERS / (await self._swept(database) - jumped).total_seconds()
        self._bench.tell(f"sweep: {rate:,.0f} users/s")
        self._rates.append(rate)

    async def _under_load(self, template: Database) -> None:
        self._drive(self._due - AHEAD / 2)
        idle_s = self._bench.plan.seconds
        async with self._world.database(template) as database, segmenter(self._bench, database):
            sending = asyncio.create_task(
                live(self._bench, database, seconds=WARM_UP_S + 2 * idle_s)
            )
            await asyncio.sleep(WARM_UP_S + idle_s)
            began = time.monotonic()
            self._jump()
            await self._swept(database)
            ended = time.monotonic()
            samples = await sending
        warm = min(sent for sent, _ in samples) + WARM_UP_S
        idle = [took for sent, took in samples if warm <= sent < began - 1]
        during = [took for sent, took in samples if began <= sent < ended]
        self._idle.append(percentile(idle, 0.99))
        self._during.append(percentile(during, 0.99))
        self._bench.tell(
            f"live events: p99 {self._idle[-1]:,.1f} ms without a sweep,"
            f" {self._during[-1]:,.1f} ms during one of {ended - began:.1f} s"
        )

    def _drive(self, instant: datetime) -> datetime:
        system = SystemClock().now()
        write_drive(self._world.clock_file, Drive(instant, system, 1.0))
        return system

    def _jump(self) -> datetime:
        """Make it just past the deadline, and return the machine's time at which it came to be due."""
        return self._drive(self._due + PAST)

    async def _swept(self, database: Database) -> datetime:
        """Wait until everybody is silent; return when the last transition was committed."""
        connection = await asyncpg.connect(database.owner)

        async def everybody_is_silent() -> bool:
            return bool(await connection.fetchval(_MOVED) == USERS)

        try:
            await until(everybody_is_silent, within_s=SWEPT_WITHIN_S, every_s=0.5)
            at: datetime = await connection.fetchval(_DONE)
        finally:
            await connection.close()
        return at
