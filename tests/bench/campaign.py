"""One run: the raw limits, then the same work through the system."""

import asyncio
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from shared.contracts import topics
from tests.bench import fold, programs
from tests.bench.figures import Figure, percentile
from tests.bench.latency import EVERY_S, PROBES, Probe
from tests.bench.memory import PeakMemory
from tests.system.stack import Stack

SCRATCH_TOPIC = "bench-raw"
STEADY_EVENTS_PER_S = 200
_GROUP_COMMIT = "aiokafka group commit alone"
_SEGMENTER = "segmenter"


class Campaign:
    """Measures against a running stack, with limits taken in the same minute."""

    def __init__(self, stack: Stack, *, seconds: float, tell: Callable[[str], None]) -> None:
        self._stack = stack
        self._seconds = seconds
        self._tell = tell
        self.figures: list[Figure] = []

    async def run(self) -> list[Figure]:
        """Measure everything; the segmenter stands still while its backlog is made."""
        memory = PeakMemory(self._pids)  # whose first sample is the idle system
        await self._stack.stop(_SEGMENTER)
        kafka, http, postgres, hop = await self._limits()
        async with memory:
            await self._ingest(kafka, http)
            await self._fold(postgres)
            await self._latency(hop)
        for name, peak in memory.peak_mb.items():
            self._add(f"peak_rss_mb_{name}", peak, "MB", memory.idle_mb[name], "the same, idle")
        return self.figures

    def _add(self, name: str, value: float, unit: str, limit: float | None, beside: str) -> None:
        self.figures.append(Figure(name, value, unit, limit, beside))

    def _pids(self) -> dict[str, int]:
        return {name: self._stack.pid(name) for name in self._stack.running()}

    async def _limits(self) -> tuple[dict[str, Any], dict[int, dict[str, Any]], Any, Any]:
        self._tell("raw limits: Kafka, HTTP, Postgres")
        bootstrap, dsn = self._stack.bootstrap, self._stack.database.owner
        await _make_topic(bootstrap)
        kafka = await programs.run(
            "raw_kafka", bootstrap=bootstrap, topic=SCRATCH_TOPIC, seconds=self._seconds
        )
        async with programs.bare_server(self._stack.log("bare")) as port:
            http = {
                batch: await programs.run(
                    "generator", port=port, batch=batch, seconds=self._seconds / 2
                )
                for batch in (1, 100)
            }
        postgres = await programs.run("raw_postgres", dsn=dsn)
        hop = await programs.run("raw_latency", bootstrap=bootstrap, topic=SCRATCH_TOPIC, dsn=dsn)
        return kafka, http, postgres, hop

    async def _ingest(self, kafka: dict[str, Any], http: dict[int, dict[str, Any]]) -> None:
        for batch in (1, 100):
            self._tell(f"ingest: batches of {batch} for {self._seconds:.0f} s")
            got = await self._generate(batch=batch, seconds=self._seconds)
            name = f"ingest_events_per_s_batch_{batch}"
            bare = http[batch]["events_per_s"]
            if batch == 1:
                self._add(name, got["events_per_s"], "events/s", bare, "bare ASGI, body dropped")
            else:
                limit = kafka["events_per_s"]
                self._add(name, got["events_per_s"], "events/s", limit, _GROUP_COMMIT)
            self._add(
                f"ingest_answer_p99_ms_batch_{batch}",
                got["p99_ms"],
                "ms",
                http[batch]["p99_ms"],
                "bare ASGI, body dropped",
            )
            self._add(
                f"client_cpu_percent_batch_{batch}", got["cpu_percent"], "% of a core", None, ""
            )
            self._add(f"refused_events_batch_{batch}", got["refused"], "events", None, "")

    async def _fold(self, postgres: dict[str, Any]) -> None:
        self._tell("fold: the segmenter meets the backlog")
        await self._stack.start_service(_SEGMENTER, wait=False)
        rate = await fold.folded_per_s(
            self._stack.database.owner, self._stack.bootstrap, tell=self._tell
        )
        copied, upserted = postgres["copied_rows_per_s"], postgres["upserted_rows_per_s"]
        self._add("fold_events_per_s", rate, "events/s", copied, "COPY of event rows alone")
        self._add("postgres_upserts_per_s", upserted, "rows/s", None, "")

    async def _latency(self, hop: dict[str, Any]) -> None:
        await self._stack.caught_up()
        self._tell(f"latency: {STEADY_EVENTS_PER_S} events/s, and probes among them")
        took_ms = await self._probe()
        beside = "Kafka and Postgres by bare clients"
        for share, name in ((0.5, "p50"), (0.99, "p99")):
            self._add(
                f"post_to_tier_visible_{name}_ms",
                percentile(took_ms, share),
                "ms",
                hop[f"{name}_ms"],
                beside,
            )

    async def _probe(self) -> list[float]:
        probe = Probe(
            ingest=_port(self._stack.ingest_url),
            api=_port(self._stack.api_url),
            write_key=self._stack.write_key,
            api_key=self._stack.api_key,
        )
        steady = {"batch": 1, "connections": 4, "rate": STEADY_EVENTS_PER_S}
        async with asyncio.TaskGroup() as together:
            load = together.create_task(self._generate(seconds=PROBES * EVERY_S, **steady))
            probing = together.create_task(probe.took_ms())
        if load.result()["refused"]:
            raise RuntimeError("events were refused under the steady load")
        return probing.result()

    async def _generate(self, **options: object) -> dict[str, Any]:
        port = _port(self._stack.ingest_url)
        return await programs.run("generator", port=port, key=self._stack.write_key, **options)


def _port(url: str) -> int:
    port = urlsplit(url).port
    assert port is not None
    return port


async def _make_topic(bootstrap: str) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    try:
        await admin.create_topics([NewTopic(SCRATCH_TOPIC, topics.DEFAULT_PARTITIONS, 1)])
    finally:
        await admin.close()
