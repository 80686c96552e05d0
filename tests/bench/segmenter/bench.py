"""What the parts of a run share: its plan, its servers, and what was measured so far."""

import asyncio
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from statistics import median

from shared.clock import SystemClock
from tests.bench.figures import Figure
from tests.bench.segmenter import backlog, product
from tests.bench.segmenter.catalog import CATALOG, Part
from tests.bench.segmenter.folding import Run, fold
from tests.bench.segmenter.workload import Workload
from tests.bench.segmenter.world import World
from tests.servers import Database

# How fast the events of a backlog came in, except where it is an hour's.
RECEIVED_PER_S = 1_000
# From the newest event of a backlog to now.
AGO = timedelta(seconds=1)


@dataclass(frozen=True, slots=True)
class Plan:
    """What to measure, how much and how often."""

    parts: frozenset[Part]
    events: int
    seconds: float
    repeats: int
    soft_limit_s: float  # from here on everything is measured once only
    whole_run_s: float  # what is not measured by then is left out
    longest_fold_s: float  # what was folded of a backlog by then counts


@dataclass
class Bench:
    """Collects figures; a figure is the median of its repeats."""

    world: World
    plan: Plan
    tell: Callable[[str], None]
    figures: list[Figure] = field(default_factory=list)
    left_out: dict[str, str] = field(default_factory=dict)
    peak_rss_mb: float = 0.0
    failed: bool = False
    begun: float = field(default_factory=time.monotonic)

    def add(self, name: str, values: Sequence[float], limits: Sequence[float] = ()) -> None:
        """Add a figure of the catalog: the median, beside the median of its limits."""
        meaning = CATALOG[name]
        limit = median(limits) if limits else None
        beside = meaning.beside if limits else ""
        self.figures.append(Figure(name, median(values), meaning.unit, limit, beside))

    def leave_out(self, name: str, why: str) -> None:
        self.left_out[name] = why

    def fail(self, part: str, error: BaseException) -> None:
        """Say what went wrong with a part, whose figures are left out."""
        self.failed = True
        self.tell(f"{part} failed: {type(error).__name__}: {error}")
        self.leave_out(part, "it failed, see above")

    def rounds(self) -> Iterator[int]:
        """Count the repeats; fewer where the run takes too long already."""
        for number in range(self.plan.repeats):
            if number and time.monotonic() - self.begun > self.plan.soft_limit_s:
                self.tell("this takes long: no more repeats")
                return
            yield number

    def heavy(self, rss_mb: float) -> None:
        """Remember the most memory that a segmenter held."""
        self.peak_rss_mb = max(self.peak_rss_mb, rss_mb)

    async def write_backlog(
        self, workload: Workload, *, events: int | None = None, span: timedelta | None = None
    ) -> int:
        """Make the events topic hold this backlog and nothing else; return its size."""
        events = events or self.plan.events
        span = span or timedelta(seconds=events / RECEIVED_PER_S)
        await self.world.empty_topic()
        first = SystemClock().now() - span - AGO
        await asyncio.to_thread(
            backlog.write, self.world.bootstrap, workload, events, first=first, span=span
        )
        return events

    async def fold(
        self,
        what: str,
        database: Database,
        *,
        events: int,
        processes: int = 1,
        counters: bool = False,
        longest_s: float | None = None,
    ) -> Run:
        """Let segmenters fold the backlog, and say how fast."""
        run = await fold(
            self.world,
            database,
            backlog=events,
            processes=processes,
            settings=product.counters(on=counters),
            longest_s=longest_s or self.plan.longest_fold_s,
        )
        self.heavy(run.peak_rss_mb)
        self.tell(
            f"{what}: {run.events_per_s:,.0f} events/s, {run.cpu_s_per_100k:.2f} CPU s / 100k"
        )
        return run
