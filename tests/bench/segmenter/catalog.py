"""Every figure by its name: its unit, what it is set beside, and what it should come to."""

from dataclasses import dataclass
from enum import StrEnum

from tests.bench.figures import Figure


class Part(StrEnum):
    """What can be measured by itself: the words of `--only`."""

    CORE = "core"
    TWO = "two"
    BYTEWAX = "bytewax"
    COUNTERS = "counters"
    KNOWN = "known"
    SWEEP = "sweep"
    CATCH_UP = "catch-up"
    LATENCY = "latency"


@dataclass(frozen=True, slots=True)
class Target:
    """A bound for the ratio, or for the value itself."""

    bound: float
    at_least: bool = True
    of_ratio: bool = True

    def met_by(self, figure: Figure) -> bool | None:
        """Say whether the figure keeps it; None where there is nothing to judge."""
        judged = figure.ratio if self.of_ratio else figure.value
        if judged is None:
            return None
        return judged >= self.bound if self.at_least else judged <= self.bound

    def __str__(self) -> str:
        return f"{'ratio ' if self.of_ratio else ''}{'≥' if self.at_least else '≤'} {self.bound:g}"


@dataclass(frozen=True, slots=True)
class Meaning:
    """What a figure is."""

    unit: str
    beside: str = ""
    target: Target | None = None


def at_most(bound: float) -> Target:
    return Target(bound, at_least=False, of_ratio=False)


_RAW = "consume, decode, COPY with indexes"
_RATE = "events/s"
CATALOG = {
    "raw_events_per_s": Meaning(_RATE, "the same into a heap"),
    "raw_two_processes_events_per_s": Meaning(_RATE, "one process"),
    "raw_heap_events_per_s": Meaning(_RATE),
    "core_one_process": Meaning(_RATE, _RAW, Target(0.55)),
    "core_two_processes": Meaning(_RATE, f"{_RAW}, one process", Target(0.65)),
    "core_over_bytewax": Meaning(_RATE, "Bytewax doing the core job", Target(2.5)),
    "core_over_unrecovered_bytewax": Meaning(_RATE, "Bytewax without recovery"),
    "core_cpu_s_per_100k": Meaning("CPU s", "", at_most(0.8)),
    "core_rows_per_event": Meaning("rows"),
    "core_wal_bytes_per_event": Meaning("bytes"),
    "counters_over_core": Meaning(_RATE, "without counters", Target(0.60)),
    "known_users_10k": Meaning(_RATE),
    "known_users_100k": Meaning(_RATE, "10,000 known users", Target(0.75)),
    "known_users_1m": Meaning(_RATE, "10,000 known users", Target(0.75)),
    "uniform_users_1m": Meaning(_RATE, "sessions of 1,000,000 users"),
    "sweep": Meaning("users/s", "bare upsert and COPY", Target(0.33)),
    "sweep_live_p99_over_idle": Meaning("ms", "without a sweep", Target(3.0, at_least=False)),
    "catch_up_s": Meaning("s"),
    "commit_p50_ms": Meaning("ms", "", at_most(30)),
    "commit_p99_ms": Meaning("ms", "", at_most(150)),
    "post_to_api_p99_ms": Meaning("ms", "", at_most(250)),
    "deadline_p50_ms": Meaning("ms"),
    "deadline_p99_ms": Meaning("ms", "", at_most(1_000)),
    "peak_rss_mb": Meaning("MB", "", at_most(400)),
}
