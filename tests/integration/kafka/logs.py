"""What the tests of the write path do with a log."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from shared.kafka.durable_log import DurableLog
from shared.kafka.log import Log, LogRecord, Outcome

MakeLog = Callable[..., Awaitable[DurableLog]]
NOON_MS = 1_790_000_000_000


def record(topic: str, value: bytes, *, key: bytes | None = b"ada") -> LogRecord:
    return LogRecord(topic=topic, key=key, value=value, timestamp_ms=NOON_MS)


def numbered(topic: str, count: int, *, key: bytes = b"ada", start: int = 0) -> list[LogRecord]:
    return [
        record(topic, b"%s-%06d" % (key, number), key=key) for number in range(start, start + count)
    ]


async def until(reached: Callable[[], bool], *, within_s: float = 30.0) -> None:
    """Wait for something that a real process does."""
    async with asyncio.timeout(within_s):
        while not reached():  # noqa: ASYNC110  a real process has no event to wait for
            await asyncio.sleep(0.02)


async def until_ready(log: Log, *, within_s: float = 30.0) -> None:
    await until(lambda: log.health().ready, within_s=within_s)


async def append_until_accepted(
    log: Log, records: Sequence[LogRecord], *, within_s: float = 60.0
) -> None:
    """Do as a client does: send again what was refused for now, in order."""
    left = list(records)
    async with asyncio.timeout(within_s):
        while left:
            outcomes = await log.append_many(left)
            left = [
                each
                for each, outcome in zip(left, outcomes, strict=True)
                if outcome in (Outcome.BUSY, Outcome.RETRY)
            ]
            await asyncio.sleep(0.05 if left else 0)
