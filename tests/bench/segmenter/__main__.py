"""`python -m tests.bench.segmenter`: how fast the segmenter folds, beside the raw limits of the same run."""

import argparse
import asyncio
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

import asyncpg
import psutil

from shared.errors import EbbtideError
from tests.bench import figures
from tests.bench.segmenter import report, throughput
from tests.bench.segmenter.bench import Bench, Plan
from tests.bench.segmenter.catalog import Part
from tests.bench.segmenter.catch_up import CatchUp
from tests.bench.segmenter.known_users import KnownUsers
from tests.bench.segmenter.latency import Latency
from tests.bench.segmenter.sweep import Sweep
from tests.bench.segmenter.throughput import Throughput
from tests.bench.segmenter.world import World
from tests.scratch import scratch_directory

FAILURES = (EbbtideError, RuntimeError, TimeoutError, OSError, asyncpg.PostgresError)
REPORT = Path(".local/bench/segmenter.json")
# Without and with `--quick`.
WHOLE_RUN_S = {False: 1_500.0, True: 480.0}
SOFT_LIMIT_S = {False: 600.0, True: 100.0}
LONGEST_FOLD_S = {False: 40.0, True: 15.0}


class NotInTime(EbbtideError):
    """A run takes longer than it may."""


class Runs(Protocol):
    """One part's measurements."""

    async def run(self) -> None: ...


async def measure(plan: Plan) -> Bench:
    """Start servers of its own on the loopback address, and measure against them."""
    begun = time.monotonic()

    def tell(what: str) -> None:
        print(f"[{time.monotonic() - begun:6.1f} s] {what}", flush=True)

    with scratch_directory() as directory:
        busy = psutil.cpu_percent(interval=1.0)
        tell(f"starting Postgres and Kafka; the machine is {busy:.0f} % busy with other things")
        async with World(directory) as world:
            bench = Bench(world, plan, tell)
            try:
                async with asyncio.timeout(plan.whole_run_s):
                    await _run(bench)
            except TimeoutError:
                bench.fail("the rest", NotInTime(f"{plan.whole_run_s:.0f} s are over"))
    tell("done")
    return bench


async def _run(bench: Bench) -> None:
    """Measure each part that is asked for; one that fails is told, and does not end the others."""
    runs: list[tuple[frozenset[Part], Callable[[Bench], Runs]]] = [
        (throughput.PARTS, Throughput),
        (frozenset((Part.KNOWN,)), KnownUsers),
        (frozenset((Part.CATCH_UP,)), CatchUp),
        (frozenset((Part.LATENCY,)), Latency),
        (frozenset((Part.SWEEP,)), Sweep),
    ]
    for parts, make in runs:
        if asked := parts & bench.plan.parts:
            try:
                await make(bench).run()
            except FAILURES as error:
                bench.fail(", ".join(sorted(asked)), error)
    if bench.peak_rss_mb:
        bench.add("peak_rss_mb", [bench.peak_rss_mb])


def plan_of(words: Sequence[str] | None = None) -> tuple[Plan, Path]:
    """Return what the command line asks for, and where the report goes."""
    asked = _parser().parse_args(words)
    events = asked.events or (200_000 if asked.quick else 300_000)
    seconds = asked.seconds or (5.0 if asked.quick else 10.0)
    plan = Plan(
        parts=frozenset(asked.only or Part),
        events=events,
        seconds=seconds,
        repeats=2 if asked.quick else 3,
        soft_limit_s=SOFT_LIMIT_S[asked.quick],
        whole_run_s=WHOLE_RUN_S[asked.quick],
        longest_fold_s=LONGEST_FOLD_S[asked.quick],
    )
    return plan, asked.report


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.segmenter", description=__doc__)
    parser.add_argument(
        "--only",
        type=_parts,
        metavar="PART,…",
        help=f"measure these parts only: {', '.join(Part)} (default: all)",
    )
    parser.add_argument("--quick", action="store_true", help="less of everything, at most twice")
    parser.add_argument(
        "--events", type=int, help="size of a backlog (default: 300000, quick: 200000)"
    )
    parser.add_argument(
        "--seconds", type=float, help="how long live loads go on (default: 10, quick: 5)"
    )
    parser.add_argument("--report", type=Path, default=REPORT, help=f"default: {REPORT}")
    return parser


def _parts(text: str) -> frozenset[Part]:
    try:
        return frozenset(Part(word.strip()) for word in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"{text!r} names other parts than {', '.join(Part)}"
        ) from None


def main() -> int:
    plan, path = plan_of()
    try:
        bench = asyncio.run(measure(plan))
    except EbbtideError as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    report.show(bench.figures, bench.left_out)
    figures.write(bench.figures, path)
    print(f"written to {path}")
    return 1 if bench.failed else 0


if __name__ == "__main__":
    raise SystemExit(main())
