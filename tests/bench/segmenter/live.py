"""`python -m tests.bench.segmenter.live`: events at a steady rate, and when each was committed.

Counted from the moment at which Kafka's client is handed an event to the first look at the lanes'
progress in Postgres that covers it. It looks every 1.5 ms on a connection of its own, so that a
commit is seen at most some 2 ms late, and never early.
"""

import argparse
import asyncio
import json
import time
from collections import deque
from collections.abc import Iterator
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from uuid import uuid4

import asyncpg
import uvloop
from confluent_kafka import KafkaException, Message, Producer

from shared.clock import DrivenClock
from shared.collector import tune_collector
from shared.contracts import topics
from shared.contracts.codec import encode
from shared.kafka.partitioner import partition_of
from tests.bench.figures import percentile
from tests.bench.segmenter.backlog import envelope
from tests.bench.segmenter.known import Known, records
from tests.bench.segmenter.workload import sessions, user_id, user_numbers

LOOK_EVERY_S = 0.0015
USERS = 20_000
NEW_IN = 20  # one of so many is new
GIVE_UP_S = 40.0
_PROGRESS = """
    SELECT part, next_offset FROM consumer_partition WHERE grp = 'segmenter' AND topic = $1
"""

Sample = tuple[float, float]  # when it was sent (monotonic), and the milliseconds that it took


def live_users(last_seen: datetime) -> Iterator[Known]:
    """Return those of the users who were seen before."""
    known = (number for number in range(USERS) if number % NEW_IN)
    return records(known, lambda _number: last_seen, "live")


class Sending:
    """Hands events to Kafka when they are due."""

    def __init__(self, asked: argparse.Namespace) -> None:
        self._producer = Producer(
            {"bootstrap.servers": asked.bootstrap, "acks": "all", "linger.ms": 0}
        )
        self._clock = DrivenClock(Path(asked.clock_file))
        self._users = user_numbers(sessions(USERS), 10_000_000, seed=int(time.monotonic()))
        self._run = uuid4().hex[:12]
        self._rate = asked.rate
        self._begun = time.monotonic()
        self.sent = 0
        # By partition: offset and moment of what Kafka has and Postgres may not have yet.
        self.underway: dict[int, deque[tuple[int, float]]] = {
            part: deque() for part in range(topics.DEFAULT_PARTITIONS)
        }

    def send_due(self, now: float) -> None:
        due = int((now - self._begun) * self._rate)
        while self.sent < due:
            self._send()
        self._producer.poll(0)

    def flush(self) -> None:
        self._producer.flush(10)

    def _send(self) -> None:
        self.sent += 1
        user = user_id(next(self._users), prefix="live")
        key, received_at = user.encode(), self._clock.now()
        event = envelope(
            identity=f"{self._run}-{self.sent:010d}-live", user=user, received_at=received_at
        )
        value, begun = encode(event), time.monotonic()

        def delivered(error: object, message: Message) -> None:
            if error is not None:
                raise KafkaException(error)
            part, offset = message.partition(), message.offset()
            assert part is not None
            assert offset is not None
            self.underway[part].append((offset, begun))

        self._producer.produce(
            topics.EVENTS.name,
            value=value,
            key=key,
            partition=partition_of(key, topics.DEFAULT_PARTITIONS),
            timestamp=int(received_at.timestamp() * 1_000),
            on_delivery=delivered,
        )


def committed(
    underway: dict[int, deque[tuple[int, float]]], progress: dict[int, int], now: float
) -> Iterator[Sample]:
    """Yield and forget what lies before each partition's next offset."""
    for part, events in underway.items():
        until = progress.get(part, 0)
        while events and events[0][0] < until:
            _, begun = events.popleft()
            yield begun, 1_000 * (now - begun)


async def run(asked: argparse.Namespace) -> dict[str, object]:
    connection = await asyncpg.connect(asked.dsn)
    try:
        statement = await connection.prepare(_PROGRESS)
        sending = Sending(asked)
        tune_collector()
        samples: list[Sample] = []
        looks: list[float] = []
        until = time.monotonic() + asked.seconds
        while (now := time.monotonic()) < until + GIVE_UP_S:
            if now < until:
                sending.send_due(now)
            elif len(samples) == sending.sent:
                break
            else:
                sending.flush()
            progress = dict(await statement.fetch(topics.EVENTS.name))
            looks.append(time.monotonic())
            samples += committed(sending.underway, progress, looks[-1])
            await asyncio.sleep(LOOK_EVERY_S)
    finally:
        await connection.close()
    # A pipe is for few words.
    await asyncio.to_thread(Path(asked.samples).write_text, json.dumps(samples))
    gaps_ms = [1_000 * (later - earlier) for earlier, later in pairwise(looks)]
    return {
        "sent": sending.sent,
        "committed": len(samples),
        "look_p50_ms": percentile(gaps_ms, 0.5),
        "look_p99_ms": percentile(gaps_ms, 0.99),
        "cpu_percent": 100 * time.process_time() / (looks[-1] - looks[0]),
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        prog="python -m tests.bench.segmenter.live", description=__doc__
    )
    parser.add_argument("--bootstrap", required=True)
    parser.add_argument("--dsn", required=True)
    parser.add_argument("--clock_file", required=True)
    parser.add_argument("--samples", required=True, help="the file to write each event's time into")
    parser.add_argument("--rate", type=float, default=1_000.0)
    parser.add_argument("--seconds", type=float, default=10.0)
    print(json.dumps(uvloop.run(run(parser.parse_args()))))
