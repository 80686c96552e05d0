"""`python -m tests.bench.raw_kafka`: group commit with aiokafka and nothing else. A raw limit."""

import argparse
import asyncio
import json
import time

import uvloop
from aiokafka import AIOKafkaProducer

VALUE = bytes(650)  # an event of 400 bytes in its envelope
IN_A_BATCH = 1_000


async def run(bootstrap: str, topic: str, seconds: float) -> dict[str, float]:
    producer = AIOKafkaProducer(
        bootstrap_servers=bootstrap, acks="all", max_batch_size=2 * IN_A_BATCH * len(VALUE)
    )
    await producer.start()
    try:
        partitions = await producer.partitions_for(topic)
        until = time.monotonic() + seconds
        cpu_s, begun = time.process_time(), time.monotonic()
        written = await asyncio.gather(
            *(_write(producer, topic, partition, until) for partition in partitions)
        )
        elapsed_s = time.monotonic() - begun
        cpu_s = time.process_time() - cpu_s
    finally:
        await producer.stop()
    return {"events_per_s": sum(written) / elapsed_s, "cpu_percent": 100 * cpu_s / elapsed_s}


async def _write(producer: AIOKafkaProducer, topic: str, partition: int, until: float) -> int:
    written = 0
    while time.monotonic() < until:
        batch = producer.create_batch()
        for number in range(IN_A_BATCH):
            batch.append(key=b"user-%08d" % number, value=VALUE, timestamp=None, headers=[])
        await (await producer.send_batch(batch, topic, partition=partition))
        written += IN_A_BATCH
    return written


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m tests.bench.raw_kafka", description=__doc__)
    parser.add_argument("--bootstrap", required=True)
    parser.add_argument("--topic", required=True)
    parser.add_argument("--seconds", type=float, default=5.0)
    asked = parser.parse_args()
    print(json.dumps(uvloop.run(run(asked.bootstrap, asked.topic, asked.seconds))))
