"""One hour of downtime at 100 events a second: how long until nothing lags any more."""

from datetime import timedelta

from tests.bench.segmenter.bench import Bench
from tests.bench.segmenter.known import known_users
from tests.bench.segmenter.known_users import seen_over_a_day
from tests.bench.segmenter.workload import sessions

AN_HOUR = timedelta(hours=1)
EVENTS = 360_000
USERS = 100_000


class CatchUp:
    """The product as it is, counters and all, from the start of its process on."""

    def __init__(self, bench: Bench) -> None:
        self._bench = bench

    async def run(self) -> None:
        self._bench.tell(f"catch up: {EVENTS:,} events of the last hour")
        took_s = []
        world = self._bench.world
        async with known_users(world, USERS, last_seen=seen_over_a_day()) as template:
            events = await self._bench.write_backlog(sessions(USERS), events=EVENTS, span=AN_HOUR)
            for _ in self._bench.rounds():
                async with world.database(template) as database:
                    run = await self._bench.fold(
                        "catch up", database, events=events, counters=True, longest_s=120.0
                    )
                took_s.append(run.whole_s)
        self._bench.add("catch_up_s", took_s)
