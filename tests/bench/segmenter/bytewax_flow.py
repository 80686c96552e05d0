"""`python -m tests.bench.segmenter.bytewax_flow`: the segmenter's core job as a Bytewax dataflow.

Runs in an environment of its own, which has Bytewax. Kafka's input, per-user state, and a sink that
writes event rows, user rows and transitions by COPY, in one transaction per batch. Where there was a
choice it is in Bytewax's favour: repeats are not looked for, nothing is recovered after a crash, and
users are known in memory only.
"""

import argparse
import json
import time
from collections import defaultdict
from collections.abc import Iterable
from datetime import timedelta

import bytewax.operators as op
import psycopg
from bytewax.connectors.kafka import KafkaSource, KafkaSourceMessage
from bytewax.dataflow import Dataflow
from bytewax.testing import run_main

from shared.contracts import topics
from tests.bench.segmenter.bytewax_sink import TABLES, PostgresSink
from tests.bench.segmenter.bytewax_user import UserLogic
from tests.bench.segmenter.rows import decode, fields_of

Acted = tuple[list[str], list[str]]  # rows of the event log, and when

# A user's events of one batch go on together: the state is looked up once for all of them.
_SOURCE = {
    "log_level": "2",  # not every setting concerns the client that only lists partitions, and it says so
    "statistics.interval.ms": "0",
    "fetch.message.max.bytes": "4194304",
    "queued.max.messages.kbytes": "65536",
}


class Decoding:
    """Notes when the first records came: the start of the interpreter is not measured."""

    def __init__(self) -> None:
        self.begun: float | None = None
        self.cpu_s = 0.0
        self.events = 0

    def __call__(self, records: list[KafkaSourceMessage]) -> Iterable[tuple[str, Acted]]:
        if self.begun is None:
            self.begun, self.cpu_s = time.monotonic(), time.process_time()
        self.events += len(records)
        users: defaultdict[str, Acted] = defaultdict(lambda: ([], []))
        for record in records:
            event = decode(record.value)
            rows, instants = users[event.user_id]
            rows.append("\t".join(fields_of(event, record.partition, record.offset)) + "\n")
            instants.append(event.timestamp)
        return users.items()


def flow_of(asked: argparse.Namespace, decoding: Decoding, sink: PostgresSink) -> Dataflow:
    flow = Dataflow("core")
    source = KafkaSource(
        [asked.bootstrap],
        [topics.EVENTS.name],
        tail=False,
        add_config=_SOURCE,
        batch_size=asked.batch,
    )
    records = op.input("events", flow, source)
    acted = op.flat_map_batch("decode", records, decoding)
    moved = op.stateful_batch("lifecycle", acted, UserLogic)
    op.output("postgres", moved, sink)
    return flow


def run(asked: argparse.Namespace) -> dict[str, float]:
    with psycopg.connect(asked.dsn, autocommit=True) as connection:
        connection.execute(TABLES)
    decoding, sink = Decoding(), PostgresSink(asked.dsn, asked.table)
    run_main(flow_of(asked, decoding, sink), epoch_interval=timedelta(seconds=60))
    assert decoding.begun is not None
    took_s = time.monotonic() - decoding.begun
    cpu_s = time.process_time() - decoding.cpu_s
    return {
        "events": decoding.events,
        "events_per_s": decoding.events / took_s,
        "cpu_s_per_100k": cpu_s / decoding.events * 100_000,
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        prog="python -m tests.bench.segmenter.bytewax_flow", description=__doc__
    )
    parser.add_argument("--bootstrap", required=True)
    parser.add_argument("--dsn", required=True)
    parser.add_argument("--table", required=True)
    # The fastest of 1,000 to 16,000.
    parser.add_argument("--batch", type=int, default=8_000)
    print(json.dumps(run(parser.parse_args())))
