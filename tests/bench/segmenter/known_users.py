"""Folding beside 10,000 to 1,000,000 known users: the more there are, the more must not cost."""

from collections import defaultdict
from contextlib import AsyncExitStack
from datetime import timedelta

from shared.clock import SystemClock
from tests.bench.segmenter.bench import Bench
from tests.bench.segmenter.known import LastSeen, known_users
from tests.bench.segmenter.workload import Workload, sessions, uniform
from tests.servers import Database

MILLION = 1_000_000
SIZES = {"known_users_10k": 10_000, "known_users_100k": 100_000, "known_users_1m": MILLION}
UNIFORM = "uniform_users_1m"
# Before every backlog, so that an event is never late.
BEFORE = timedelta(hours=3)
A_DAY_S = 86_400


def seen_over_a_day() -> LastSeen:
    """Return when each known user was last seen: some time in a day that ended hours ago."""
    until = SystemClock().now() - BEFORE
    return lambda number: until - timedelta(seconds=number * 7_919 % A_DAY_S)


class KnownUsers:
    """Every size takes a turn in each round, with a backlog of sessions of its own users."""

    def __init__(self, bench: Bench) -> None:
        self._bench = bench
        self._rates: dict[str, list[float]] = defaultdict(list)

    async def run(self) -> None:
        async with AsyncExitStack() as exits:
            known: dict[int, Database] = {}
            for users in SIZES.values():
                self._bench.tell(f"preparing {users:,} known users")
                made = known_users(self._bench.world, users, last_seen=seen_over_a_day())
                known[users] = await exits.enter_async_context(made)
            for _ in self._bench.rounds():
                for name, users in SIZES.items():
                    await self._fold(name, sessions(users), known[users])
                await self._fold(UNIFORM, uniform(MILLION), known[MILLION])
        self._report()

    async def _fold(self, name: str, workload: Workload, template: Database) -> None:
        events = await self._bench.write_backlog(workload)
        async with self._bench.world.database(template) as database:
            run = await self._bench.fold(name, database, events=events)
        self._rates[name].append(run.events_per_s)

    def _report(self) -> None:
        few = self._rates["known_users_10k"]
        self._bench.add("known_users_10k", few)
        for name in ("known_users_100k", "known_users_1m"):
            self._bench.add(name, self._rates[name], few)
        self._bench.add(UNIFORM, self._rates[UNIFORM], self._rates["known_users_1m"])
