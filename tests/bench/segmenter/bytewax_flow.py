"""`python -m tests.bench.segmenter.bytewax_flow`: the segmenter's core job as a Bytewax dataflow.

Runs in an environment of its own, which has Bytewax. Kafka's input, per-user state, and a sink that
writes event rows, user rows and transitions by COPY, in one transaction per batch.

With `--exactly-once` it does the core job. Bytewax keeps Kafka's offsets and the users' state in its
snapshots, and a run on the same directory goes on from the last one. A crash makes it read again what
came after; that counts once in spite of it, because

- a snapshot never claims what Postgres does not hold: the sink has written all of an epoch before
  Bytewax may keep the epoch's state and offsets;
- the log says of each record whether it is new, read again or a repeat (`bytewax_known.py`): what is read
  again moves the restored state as it did before, and is not written a second time;
- users are overwritten, and a transition that is made again has the same id and is left as it is.

Until a crash has been caught up with, which is at most an epoch's work, users show what they were.

Without it nothing survives a crash, repeats are not looked for, and users are known in memory only.
Either way late events correct nothing, and a timer follows the machine's clock, wherever the stream is:
a silence that falls due while a crash is caught up with may be told of somebody whose next event waits.
"""

import argparse
import json
import time
from datetime import timedelta
from pathlib import Path

import bytewax.operators as op
import psycopg
from bytewax.connectors.kafka import KafkaSource
from bytewax.dataflow import Dataflow
from bytewax.recovery import RecoveryConfig, init_db_dir
from bytewax.testing import run_main

from shared.collector import tune_collector
from shared.contracts import topics
from tests.bench.segmenter.bytewax_decode import Decoding, OnceDecoding
from tests.bench.segmenter.bytewax_known import InFlight, Log
from tests.bench.segmenter.bytewax_sink import PART, PostgresSink, Tables
from tests.bench.segmenter.bytewax_tables import TABLES
from tests.bench.segmenter.bytewax_user import UserLogic

# Without snapshots an epoch is good for nothing.
UNRECOVERED_S = 60.0
_SOURCE = {
    "log_level": "2",  # not every setting concerns the client that only lists partitions, and it says so
    "statistics.interval.ms": "0",
    "fetch.message.max.bytes": "4194304",
    "queued.max.messages.kbytes": "65536",
}


def flow_of(asked: argparse.Namespace, decoding: Decoding, sink: PostgresSink) -> Dataflow:
    flow = Dataflow("core")
    source = KafkaSource(
        [asked.bootstrap],
        [asked.topic],
        tail=False,
        add_config=_SOURCE,
        batch_size=asked.batch,
    )
    records = op.input("events", flow, source)
    acted = op.flat_map_batch("decode", records, decoding)
    moved = op.stateful_batch("lifecycle", acted, UserLogic)
    # A batch goes on as one item: the sink is asked for the partition of each.
    batches = op.flat_map_batch("together", moved, lambda items: [(PART, items)])
    op.output("postgres", batches, sink)
    return flow


def run_plainly(asked: argparse.Namespace) -> Decoding:
    decoding = Decoding()
    sink = PostgresSink(Tables(asked.dsn, asked.table, once=False), InFlight())
    run_main(flow_of(asked, decoding, sink), epoch_interval=timedelta(seconds=UNRECOVERED_S))
    return decoding


def run_once(asked: argparse.Namespace) -> OnceDecoding:
    snapshots: Path = asked.exactly_once
    snapshots.mkdir(exist_ok=True)
    if not any(snapshots.iterdir()):
        init_db_dir(snapshots, 1)
    in_flight = InFlight()
    # Before the log is asked: it waits for what a killed process left to be committed.
    sink = PostgresSink(Tables(asked.dsn, asked.table, once=True), in_flight)
    log = Log(asked.dsn, asked.table)
    decoding = OnceDecoding(log, in_flight)
    run_main(
        flow_of(asked, decoding, sink),
        epoch_interval=timedelta(seconds=asked.epoch_s),
        recovery_config=RecoveryConfig(snapshots),
    )
    log.close()
    return decoding


def run(asked: argparse.Namespace) -> dict[str, float]:
    with psycopg.connect(asked.dsn, autocommit=True) as connection:
        connection.execute(TABLES)
    tune_collector()
    decoding = run_plainly(asked) if asked.exactly_once is None else run_once(asked)
    if decoding.begun is None:  # an earlier run came to the end
        return {"events": 0, **decoding.counts}
    took_s = time.monotonic() - decoding.begun
    cpu_s = time.process_time() - decoding.cpu_s
    return {
        "events": decoding.events,
        "events_per_s": decoding.events / took_s,
        "cpu_s_per_100k": cpu_s / decoding.events * 100_000,
        **decoding.counts,
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        prog="python -m tests.bench.segmenter.bytewax_flow", description=__doc__
    )
    parser.add_argument("--bootstrap", required=True)
    parser.add_argument("--dsn", required=True)
    parser.add_argument("--table", required=True)
    parser.add_argument("--topic", default=topics.EVENTS.name)
    parser.add_argument(
        "--exactly-once", type=Path, metavar="DIRECTORY", help="keep Bytewax's snapshots there"
    )
    # Bytewax's own choice; a crash repeats no more than that. 5 is as fast, 1 takes about a quarter.
    parser.add_argument("--epoch-s", type=float, default=10.0, help="from snapshot to snapshot")
    # None of 1,000 to 16,000 is clearly faster.
    parser.add_argument("--batch", type=int, default=8_000)
    print(json.dumps(run(parser.parse_args())))
