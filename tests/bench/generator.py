"""`python -m tests.bench.generator`: posts events from a process of its own, and prints what came of it."""

import argparse
import asyncio
import json
import time
from dataclasses import dataclass, field
from http import HTTPStatus

import msgspec
import uvloop

from shared.collector import tune_collector
from tests.bench.figures import percentile
from tests.bench.http_client import Link, connect, post
from tests.bench.load import Events, basic

PATH = "/v1/batch"


class Said(msgspec.Struct):
    """What ingest answers; a bare server says nothing, and accepts everything."""

    accepted: int | None = None


@dataclass
class Tally:
    accepted: int = 0
    refused: int = 0
    took_ms: list[float] = field(default_factory=list)


@dataclass(frozen=True)
class Plan:
    host: str
    port: int
    key: str
    batch: int
    connections: int
    seconds: float
    rate: float

    @property
    def pause_s(self) -> float:
        """Return how long each connection waits between two requests, for a steady rate."""
        return self.connections * self.batch / self.rate if self.rate else 0.0


async def run(plan: Plan) -> dict[str, float]:
    events, tally = Events(), Tally()
    links = [await connect(plan.host, plan.port) for _ in range(plan.connections)]
    cpu_s, begun = time.process_time(), time.monotonic()
    await asyncio.gather(*(_send_on(link, plan, events, tally) for link in links))
    elapsed_s = time.monotonic() - begun
    for link in links:
        link.close()
    return {
        "events_per_s": tally.accepted / elapsed_s,
        "accepted": tally.accepted,
        "refused": tally.refused,
        "p50_ms": percentile(tally.took_ms, 0.5),
        "p99_ms": percentile(tally.took_ms, 0.99),
        "cpu_percent": 100 * (time.process_time() - cpu_s) / elapsed_s,
    }


async def _send_on(link: Link, plan: Plan, events: Events, tally: Tally) -> None:
    authorization = basic(plan.key)
    until = time.monotonic() + plan.seconds
    while (begun := time.monotonic()) < until:
        body = events.batch(plan.batch)
        request = post(PATH, host=plan.host, authorization=authorization, body=body)
        asked = time.monotonic()
        answer = await link.ask(request)
        tally.took_ms.append(1_000 * (time.monotonic() - asked))
        accepted = _accepted(answer.body, plan.batch) if answer.status == HTTPStatus.OK else 0
        tally.accepted += accepted
        tally.refused += plan.batch - accepted
        if plan.pause_s:
            await asyncio.sleep(max(0.0, plan.pause_s - (time.monotonic() - begun)))


def _accepted(body: bytes, batch: int) -> int:
    said = msgspec.json.decode(body, type=Said).accepted
    return batch if said is None else said


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.generator", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--key", default="")
    parser.add_argument("--batch", type=int, default=100)
    parser.add_argument("--connections", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--rate", type=float, default=0.0, help="events a second; 0: all it can")
    plan = Plan(**vars(parser.parse_args()))
    tune_collector()
    print(json.dumps(uvloop.run(run(plan))))


if __name__ == "__main__":
    main()
