"""Folding a backlog, beside the raw limit and others: all on the same backlog, turn by turn."""

from collections import defaultdict
from pathlib import Path

from tests.bench.segmenter import bench_venv, product, raw_limit
from tests.bench.segmenter.bench import Bench
from tests.bench.segmenter.catalog import Part
from tests.bench.segmenter.folding import Run
from tests.bench.segmenter.raw_limit import bytewax_rate
from tests.bench.segmenter.workload import sessions

PARTS = frozenset((Part.CORE, Part.TWO, Part.BYTEWAX, Part.COUNTERS))
USERS = 50_000
# What is set beside Bytewax, and whether that does the core job, exactly once.
BYTEWAX = {"core_over_bytewax": True, "core_over_unrecovered_bytewax": False}


class Throughput:
    """Rounds in which everyone takes a turn, so that the machine's moods are shared."""

    def __init__(self, bench: Bench) -> None:
        self._bench = bench
        self._parts = bench.plan.parts
        self._events = 0
        self._bytewax: Path | None = None
        self._core: list[Run] = []
        self._rates: dict[str, list[float]] = defaultdict(list)

    async def run(self) -> None:
        self._bench.tell(f"a backlog of {self._bench.plan.events:,} events of {USERS:,} users")
        self._events = await self._bench.write_backlog(sessions(USERS))
        await self._find_bytewax()
        for _ in self._bench.rounds():
            await self._limits()
            await self._round()
        self._report()

    async def _find_bytewax(self) -> None:
        if Part.BYTEWAX in self._parts:
            self._bench.tell("looking for Bytewax")
            try:
                self._bytewax = await bench_venv.interpreter()
            except bench_venv.NotInstalled as error:
                for name in BYTEWAX:
                    self._bench.leave_out(name, f"Bytewax is not there: {error}")

    async def _limits(self) -> None:
        await self._raw("raw_events_per_s")
        if Part.CORE in self._parts and not self._rates["raw_heap_events_per_s"]:
            await self._raw("raw_heap_events_per_s", indexes=False)
        if Part.TWO in self._parts:
            await self._raw("raw_two_processes_events_per_s", processes=2)

    async def _raw(self, name: str, *, indexes: bool = True, processes: int = 1) -> None:
        rate = await raw_limit.copy_rate(self._bench.world, indexes=indexes, processes=processes)
        self._bench.tell(f"{name}: {rate:,.0f}")
        self._rates[name].append(rate)

    async def _round(self) -> None:
        self._core.append(await self._fold("core_one_process"))
        if Part.TWO in self._parts:
            await self._fold("core_two_processes", processes=2)
        if self._bytewax is not None:
            for name, once in BYTEWAX.items():
                await self._flow(name, self._bytewax, once=once)
        if Part.COUNTERS in self._parts and product.has_counters():
            await self._fold("counters_over_core", counters=True)

    async def _fold(self, name: str, *, processes: int = 1, counters: bool = False) -> Run:
        async with self._bench.world.database() as database:
            if counters:
                await product.add_live_funnel(database.owner)
            run = await self._bench.fold(
                name, database, events=self._events, processes=processes, counters=counters
            )
        self._rates[name].append(run.events_per_s)
        return run

    async def _flow(self, name: str, python: Path, *, once: bool) -> None:
        ran = await bytewax_rate(self._bench.world, python, once=once)
        self._bench.tell(
            f"Bytewax{'' if once else ' without recovery'}: {ran['events_per_s']:,.0f} events/s,"
            f" {ran['cpu_s_per_100k']:.2f} CPU s / 100k"
        )
        self._rates[name].append(ran["events_per_s"])

    def _report(self) -> None:
        rates, add = self._rates, self._bench.add
        raw, core = rates["raw_events_per_s"], rates["core_one_process"]
        if Part.CORE in self._parts:
            add("raw_events_per_s", raw, rates["raw_heap_events_per_s"])
            add("raw_heap_events_per_s", rates["raw_heap_events_per_s"])
            add("core_one_process", core, raw)
            add("core_cpu_s_per_100k", [run.cpu_s_per_100k for run in self._core])
            add("core_rows_per_event", [run.rows_per_event for run in self._core])
            add("core_wal_bytes_per_event", [run.wal_bytes_per_event for run in self._core])
        if Part.TWO in self._parts:
            two = "raw_two_processes_events_per_s"
            add(two, rates[two], raw)
            add("core_two_processes", rates["core_two_processes"], raw)
        if self._bytewax is not None:
            for name in BYTEWAX:
                add(name, core, rates[name])
        if Part.COUNTERS in self._parts:
            self._report_counters(core)

    def _report_counters(self, core: list[float]) -> None:
        name = "counters_over_core"
        if product.has_counters():
            self._bench.add(name, self._rates[name], core)
        else:
            self._bench.leave_out(name, f"the segmenter does not know {product.COUNTERS} yet")
