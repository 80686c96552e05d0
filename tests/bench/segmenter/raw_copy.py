"""`python -m tests.bench.segmenter.raw_copy`: consume, decode, COPY into the event log. A raw limit.

The least that any fold must do: every event's row in Postgres, with aiokafka as the client. It
keeps nothing back that could be had faster: instants stay text, rows are text, several connections
write while the next batch is decoded, and nothing is committed in Kafka.
"""

import argparse
import asyncio
import json
import time
from collections.abc import Callable, Sequence
from io import BytesIO
from operator import itemgetter

import asyncpg
import uvloop
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.structs import ConsumerRecord

from shared.collector import tune_collector
from shared.contracts import topics
from shared.database.connection import Connection
from tests.bench.segmenter.rows import COLUMNS, decode, fields_of

FETCH_BYTES = 4 * 1024 * 1024
Row = Callable[[ConsumerRecord], str]


def row_maker(columns: Sequence[str]) -> Row:
    """Return what makes one line of COPY's text; a table may have fewer columns."""
    if tuple(columns) == COLUMNS:
        return lambda record: "\t".join(_values(record))
    pick = itemgetter(*(COLUMNS.index(name) for name in columns))
    return lambda record: "\t".join(pick(_values(record)))


def _values(record: ConsumerRecord) -> tuple[str, ...]:
    return fields_of(decode(record.value), record.partition, record.offset)


class Copying:
    """One reader and several writers, a batch ahead of each."""

    def __init__(self, asked: argparse.Namespace, columns: Sequence[str]) -> None:
        self._asked = asked
        self._columns = columns
        self._row = row_maker(columns)
        self._batches: asyncio.Queue[list[ConsumerRecord] | None] = asyncio.Queue(asked.connections)

    async def run(self, pool: Sequence[Connection]) -> dict[str, float]:
        consumer = AIOKafkaConsumer(
            bootstrap_servers=self._asked.bootstrap,
            group_id=None,
            enable_auto_commit=False,
            fetch_max_bytes=2 * FETCH_BYTES,
            max_partition_fetch_bytes=FETCH_BYTES,
        )
        await consumer.start()
        try:
            parts = [int(part) for part in self._asked.parts.split(",")]
            consumer.assign([TopicPartition(topics.EVENTS.name, part) for part in parts])
            await consumer.seek_to_beginning()
            ends = sum((await consumer.end_offsets(consumer.assignment())).values())
            begun, cpu_s = time.monotonic(), time.process_time()
            async with asyncio.TaskGroup() as together:
                together.create_task(self._read(consumer, ends))
                for connection in pool:
                    together.create_task(self._write(connection))
            ended, cpu_s = time.monotonic(), time.process_time() - cpu_s
        finally:
            await consumer.stop()
        return {
            "events": ends,
            "begun": begun,
            "ended": ended,
            "events_per_s": ends / (ended - begun),
            "cpu_s_per_100k": cpu_s / ends * 100_000,
        }

    async def _read(self, consumer: AIOKafkaConsumer, events: int) -> None:
        read = 0
        while read < events:
            found = await consumer.getmany(timeout_ms=200, max_records=self._asked.batch)
            batch = [record for records in found.values() for record in records]
            read += len(batch)
            if batch:
                await self._batches.put(batch)
        for _ in range(self._asked.connections):
            await self._batches.put(None)

    async def _write(self, connection: Connection) -> None:
        while batch := await self._batches.get():
            text = "\n".join(map(self._row, batch)) + "\n"
            await connection.copy_to_table(
                self._asked.table, source=BytesIO(text.encode()), columns=self._columns
            )


async def run(asked: argparse.Namespace) -> dict[str, float]:
    pool = [await asyncpg.connect(asked.dsn) for _ in range(asked.connections)]
    try:
        found = await pool[0].fetch(
            "SELECT attname FROM pg_attribute WHERE attrelid = $1::regclass AND attnum > 0"
            " AND NOT attisdropped",
            asked.table,
        )
        there = {row["attname"] for row in found}
        tune_collector()
        return await Copying(asked, [name for name in COLUMNS if name in there]).run(pool)
    finally:
        for connection in pool:
            await connection.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        prog="python -m tests.bench.segmenter.raw_copy", description=__doc__
    )
    parser.add_argument("--bootstrap", required=True)
    parser.add_argument("--dsn", required=True)
    parser.add_argument("--table", required=True)
    # The fastest of 2,000 to 16,000 records on 1 to 4 connections.
    parser.add_argument("--batch", type=int, default=8_000)
    parser.add_argument("--connections", type=int, default=4)
    parser.add_argument("--parts", default=",".join(map(str, range(topics.DEFAULT_PARTITIONS))))
    print(json.dumps(uvloop.run(run(parser.parse_args()))))
