"""`python -m tests.bench`: throughput, latency and memory, each beside its raw limit of the same run."""

import argparse
import asyncio
import sys
import time
from pathlib import Path

from shared.errors import EbbtideError
from tests.bench import figures
from tests.bench.campaign import Campaign
from tests.bench.figures import Figure
from tests.scratch import scratch_directory
from tests.system.stack import Stack

REPORT = Path(".local/bench/latest.json")
WHOLE_RUN_S = 290.0


async def measure(seconds: float) -> list[Figure]:
    """Start a system of its own on the loopback address, and measure it."""
    begun = time.monotonic()

    def tell(what: str) -> None:
        print(f"[{time.monotonic() - begun:5.1f} s] {what}", flush=True)

    async with asyncio.timeout(WHOLE_RUN_S):
        with scratch_directory() as directory:
            tell("starting Postgres, Kafka and the four services")
            # Real durability: what a test may forgo would flatter the figures.
            async with Stack(directory, postgres_settings={}) as stack:
                measured = await Campaign(stack, seconds=seconds, tell=tell).run()
    tell("done")
    return measured


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument(
        "--seconds", type=float, default=6.0, help="how long each load goes on (default: 6)"
    )
    parser.add_argument("--report", type=Path, default=REPORT, help=f"default: {REPORT}")
    asked = parser.parse_args()
    try:
        measured = asyncio.run(measure(asked.seconds))
    except TimeoutError as error:
        print(
            f"bench: not done in time: {error}, after at most {WHOLE_RUN_S:.0f} s", file=sys.stderr
        )
        return 1
    except EbbtideError as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    figures.show(measured)
    figures.write(measured, asked.report)
    print(f"written to {asked.report}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
