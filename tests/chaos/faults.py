"""What is done to the running system. Each fault does its damage, and brings back what it broke."""

import asyncio
import os
import random
import shutil
import signal
import subprocess
from collections.abc import Awaitable, Callable

import asyncpg

from tests.system.stack import Stack

# Longer than the lease: others must have taken over before the frozen one wakes.
FREEZE_S = 8.0
SETTLE_S = 1.0
COPY_AGE_S = 3.0

Fault = Callable[[Stack, random.Random], Awaitable[None]]


async def kill_segmenter(stack: Stack, _draw: random.Random) -> None:
    await _kill_and_start(stack, "segmenter")


async def kill_second_segmenter(stack: Stack, _draw: random.Random) -> None:
    await _kill_and_start(stack, "segmenter-2")


async def kill_alerts(stack: Stack, _draw: random.Random) -> None:
    await _kill_and_start(stack, "alerts")


async def kill_ingest(stack: Stack, _draw: random.Random) -> None:
    await _kill_and_start(stack, "ingest")


async def kill_api(stack: Stack, _draw: random.Random) -> None:
    await _kill_and_start(stack, "api")


async def kill_while_starting(stack: Stack, draw: random.Random) -> None:
    """Kill a segmenter in the middle of its start-up, more than once."""
    stack.kill("segmenter")
    for _ in range(2):
        await stack.start_service("segmenter", wait=False)
        await asyncio.sleep(draw.uniform(0.5, 2.5))
        stack.kill("segmenter")
    await stack.start_service("segmenter", wait=False)


async def freeze_beyond_the_lease(stack: Stack, draw: random.Random) -> None:
    name = draw.choice(["segmenter", "segmenter-2", "alerts"])
    stack.pause(name)
    await asyncio.sleep(FREEZE_S)
    stack.resume(name)


async def restart_postgres_at_once(stack: Stack, _draw: random.Random) -> None:
    assert stack.postgres is not None
    stack.postgres.restart_immediate()


async def take_postgres_back(stack: Stack, _draw: random.Random) -> None:
    """Replace the database by a copy of itself that is some seconds old."""
    postgres = stack.postgres
    assert postgres is not None
    copy = postgres.home / "copy"
    postgres.stop()
    await asyncio.to_thread(_copy, postgres.data, copy)
    postgres.start()
    await asyncio.sleep(COPY_AGE_S + SETTLE_S)
    postgres.stop_immediate()
    await asyncio.to_thread(shutil.rmtree, postgres.data)
    copy.rename(postgres.data)
    postgres.start()


async def restart_broker(stack: Stack, _draw: random.Random) -> None:
    stack.broker.stop()
    await asyncio.sleep(SETTLE_S)
    stack.broker.begin()
    await asyncio.to_thread(stack.broker.wait)


async def kill_broker(stack: Stack, _draw: random.Random) -> None:
    stack.broker.kill()
    await asyncio.sleep(SETTLE_S)
    stack.broker.begin()
    await asyncio.to_thread(stack.broker.wait)


async def kill_ingest_while_the_broker_is_frozen(stack: Stack, _draw: random.Random) -> None:
    """Whoever answered before the ack has lost what it answered for."""
    assert stack.broker.pid is not None
    os.kill(stack.broker.pid, signal.SIGSTOP)
    try:
        await asyncio.sleep(2 * SETTLE_S)
        stack.kill("ingest")
    finally:
        os.kill(stack.broker.pid, signal.SIGCONT)
    await stack.start_service("ingest", wait=False)


async def scale_out_and_in(stack: Stack, _draw: random.Random) -> None:
    await stack.start_service("segmenter-3", wait=False)
    await asyncio.sleep(5 * SETTLE_S)
    await stack.stop("segmenter-3")


async def stop_and_start_in_order(stack: Stack, draw: random.Random) -> None:
    name = draw.choice(["segmenter-2", "alerts", "ingest"])
    await stack.stop(name)
    await stack.start_service(name, wait=False)


async def claim_by_force(stack: Stack, draw: random.Random) -> None:
    """Give partitions of living owners to other living workers, over and over."""
    connection = await asyncpg.connect(stack.database.owner)
    try:
        for _ in range(12):
            await connection.execute(_FORCE, draw.choice(["segmenter", "alerts"]), draw.random())
            await asyncio.sleep(0.25)
    finally:
        await connection.close()


# A third of the partitions, each to a worker of its group picked by the second argument.
_FORCE = """
    UPDATE consumer_partition AS lane
    SET epoch = epoch + 1,
        owner = coalesce((
            SELECT worker FROM consumer_worker
            WHERE grp = lane.grp AND alive_until > now() AND worker <> lane.owner
            ORDER BY hashtext(worker || $2::float8::text) LIMIT 1), 'nobody')
    WHERE grp = $1 AND owner IS NOT NULL AND part % 3 = floor($2 * 3)
"""

EVERY: tuple[Fault, ...] = (
    kill_segmenter,
    claim_by_force,
    restart_postgres_at_once,
    kill_ingest,
    freeze_beyond_the_lease,
    restart_broker,
    kill_alerts,
    take_postgres_back,
    scale_out_and_in,
    kill_broker,
    kill_second_segmenter,
    kill_ingest_while_the_broker_is_frozen,
    kill_while_starting,
    stop_and_start_in_order,
    kill_api,
)


async def _kill_and_start(stack: Stack, name: str) -> None:
    stack.kill(name)
    await asyncio.sleep(SETTLE_S)
    await stack.start_service(name, wait=False)


def _copy(source: os.PathLike[str], target: os.PathLike[str]) -> None:
    """Copy with owners and modes: the server insists on both."""
    subprocess.run(["cp", "-a", str(source), str(target)], check=True, timeout=60)  # noqa: S607
