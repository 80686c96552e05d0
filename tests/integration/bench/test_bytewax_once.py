"""What the segmenter is set beside does the core job: every event counts once, whatever kills it.

Left out where the benchmark's environment has not been made yet: see `tests/bench/segmenter/bench_venv.py`.
"""

import asyncio
import json
import signal
from asyncio.subprocess import PIPE, Process
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from confluent_kafka import Producer

from shared.contracts.codec import encode
from shared.contracts.events import EventEnvelope
from shared.database.connection import Connection
from tests.bench.segmenter import bench_venv, raw_limit
from tests.bench.segmenter.backlog import envelopes
from tests.bench.segmenter.workload import uniform
from tests.bench.segmenter.world import ROOT, until
from tests.servers import Database, MakeTopic

PYTHON = bench_venv.DIRECTORY / "bin/python"
pytestmark = [
    pytest.mark.kafka,
    pytest.mark.postgres,
    pytest.mark.skipif(not PYTHON.exists(), reason="Bytewax is not installed"),
]

PARTITIONS = 3
EVENTS = 20_000
RECORDS = EVENTS + 2 * EVENTS // 10
# Of the future: no timer interferes, and the same events move the same users in every run.
FIRST, SPAN = datetime(2100, 1, 1, tzinfo=UTC), timedelta(days=90)
NEVER_S = 3_600
TABLES = {
    raw_limit.TABLE: "event_id, user_id, part, kafka_offset",
    "bytewax_users": "user_id, first_seen, last_seen, lifecycle, lifecycle_since, deadline, event_count",
    "bytewax_transitions": "transition_id, user_id, at, before, after",
}
_COUNT = f"SELECT count(*) FROM {raw_limit.TABLE}"  # noqa: S608  # a name of our own
_WAITS = "SELECT count(*) FROM pg_locks WHERE relation = 'bytewax_users'::regclass AND NOT granted"


def with_repeats() -> Iterator[EventEnvelope]:
    """Yield events of which every tenth comes again, right away and once more much later."""
    late: list[EventEnvelope] = []
    for number, event in enumerate(envelopes(uniform(1_000), EVENTS, first=FIRST, span=SPAN)):
        yield event
        if number % 10 == 0:
            yield event
            late.append(event)
        if len(late) > 500:
            yield late.pop(0)
    yield from late


def fill(bootstrap: str, topic: str) -> None:
    producer = Producer({"bootstrap.servers": bootstrap, "acks": "all"})
    for event in with_repeats():
        part = int(event.user_id[-3:]) % PARTITIONS
        producer.produce(topic, value=encode(event), partition=part)
        producer.poll(0)
    assert producer.flush(30) == 0


def _changes_in(directory: Path) -> dict[Path, int]:
    return {each: each.stat().st_mtime_ns for each in directory.iterdir()}


class Flow:
    """The dataflow on a database of its own, started as often as it takes."""

    def __init__(self, options: dict[str, object], snapshots: Path, connection: Connection) -> None:
        self._options = options | {"exactly-once": snapshots}
        self._snapshots = snapshots
        self._connection = connection

    async def start(self, *, epoch_s: float) -> Process:
        words = [f"--{name}={value}" for name, value in self._options.items()]
        module = "tests.bench.segmenter.bytewax_flow"
        command = ["-m", module, *words, f"--epoch-s={epoch_s}"]
        return await asyncio.create_subprocess_exec(str(PYTHON), *command, stdout=PIPE, cwd=ROOT)

    async def end(self, *, epoch_s: float) -> dict[str, Any]:
        """Let it come to the end of the topic, and return what it says."""
        output, _ = await (await self.start(epoch_s=epoch_s)).communicate()
        said: dict[str, Any] = json.loads(output)
        return said

    async def be_killed(self, *, epoch_s: float, events: int) -> None:
        """Kill it within a transaction, once so many events are in the log and it can't go on."""
        snapshots: dict[Path, int] = {}

        async def wrote_enough() -> bool:
            assert child.returncode is None, "it ended before it could be killed"
            return bool(await self._connection.fetchval(_COUNT) >= events)

        async def stands_still() -> bool:
            nonlocal snapshots
            before, snapshots = snapshots, _changes_in(self._snapshots)
            return snapshots == before and bool(await self._connection.fetchval(_WAITS))

        child = await self.start(epoch_s=epoch_s)
        await until(wrote_enough, within_s=30.0, every_s=0.005)
        async with self._connection.transaction():
            await self._connection.execute("LOCK TABLE bytewax_users IN EXCLUSIVE MODE")
            await until(stands_still, within_s=30.0, every_s=0.2)
            child.kill()
            assert await child.wait() == -signal.SIGKILL

    async def rows(self) -> dict[str, set[tuple[object, ...]]]:
        """Return what it wrote, without the instants at which it did; no row stands twice."""
        found = {}
        for table, columns in TABLES.items():
            rows = await self._connection.fetch(f"SELECT {columns} FROM {table}")  # noqa: S608
            found[table] = {tuple(row) for row in rows}
            assert len(found[table]) == len(rows)
        return found


async def test_killed_and_started_again_it_has_written_what_an_undisturbed_run_writes(
    database: Database, kafka_bootstrap: str, topic: MakeTopic, tmp_path: Path
) -> None:
    name = await topic(partitions=PARTITIONS)
    await asyncio.to_thread(fill, kafka_bootstrap, name)
    connection = await asyncpg.connect(database.owner)
    options: dict[str, object] = {
        "bootstrap": kafka_bootstrap,
        "dsn": database.owner,
        "table": raw_limit.TABLE,
        "topic": name,
        "batch": 100,
    }

    async def fresh(snapshots: str) -> Flow:
        tables = ", ".join(TABLES)
        await connection.execute(f"DROP TABLE IF EXISTS {tables}")
        await raw_limit.make_table(database.owner, FIRST, indexes=True)
        return Flow(options, tmp_path / snapshots, connection)

    undisturbed = await fresh("undisturbed")
    counted = await undisturbed.end(epoch_s=0.1)
    expected = await undisturbed.rows()
    killed = await fresh("killed")
    await killed.be_killed(epoch_s=0.0, events=EVENTS // 4)
    await killed.be_killed(epoch_s=NEVER_S, events=EVENTS // 2)
    resumed = await killed.end(epoch_s=0.1)
    again = await killed.end(epoch_s=0.1)
    found = await killed.rows()
    await connection.close()

    assert counted["events"] == RECORDS
    assert counted["repeats"] == RECORDS - EVENTS
    assert len(expected[raw_limit.TABLE]) == EVENTS
    assert found == expected
    # It went on from a snapshot, and met again what had been written after it.
    assert resumed["events"] < RECORDS
    assert resumed["replayed"] > 0
    assert again["events"] == 0
