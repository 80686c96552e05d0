"""`python -m tests.bench.raw_latency`: into Kafka, out of it, into Postgres, seen. A raw limit."""

import argparse
import asyncio
import json
import time

import asyncpg
import uvloop
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.structs import TopicPartition

from tests.bench.figures import percentile

PROBES = 200
EVERY_S = 0.02


async def run(bootstrap: str, topic: str, dsn: str) -> dict[str, float]:
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap, acks="all")
    consumer = AIOKafkaConsumer(bootstrap_servers=bootstrap, auto_offset_reset="latest")
    database = await asyncpg.connect(dsn)
    await producer.start()
    await consumer.start()
    try:
        await database.execute("CREATE TEMPORARY TABLE seen (id bigint PRIMARY KEY)")
        partition = TopicPartition(topic, 0)
        consumer.assign([partition])
        await consumer.seek_to_end(partition)
        took_ms = [await _once(producer, consumer, database, partition) for _ in range(PROBES)]
    finally:
        await consumer.stop()
        await producer.stop()
        await database.close()
    return {"p50_ms": percentile(took_ms, 0.5), "p99_ms": percentile(took_ms, 0.99)}


async def _once(
    producer: AIOKafkaProducer,
    consumer: AIOKafkaConsumer,
    database: "asyncpg.Connection",
    partition: TopicPartition,
) -> float:
    await asyncio.sleep(EVERY_S)
    begun = time.monotonic()
    await producer.send_and_wait(partition.topic, b"event", partition=partition.partition)
    record = await consumer.getone()
    await database.execute("INSERT INTO seen VALUES ($1)", record.offset)
    return 1_000 * (time.monotonic() - begun)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m tests.bench.raw_latency", description=__doc__)
    parser.add_argument("--bootstrap", required=True)
    parser.add_argument("--topic", required=True)
    parser.add_argument("--dsn", required=True)
    asked = parser.parse_args()
    print(json.dumps(uvloop.run(run(asked.bootstrap, asked.topic, asked.dsn))))
