"""The three probes: a supervisor, a load balancer and Prometheus ask them without a key."""

from collections.abc import AsyncIterator

import httpx
import pytest
import pytest_asyncio
from prometheus_client import CollectorRegistry

from shared.http.probes import Health, probes_app
from shared.http.requests import measured
from shared.observability import metrics as m
from shared.observability.metrics import Metrics


class Worker:
    """How a process is, as a test sets it."""

    def __init__(self) -> None:
        self.live = Health(ok=True)
        self.ready = Health(ok=True, checks={"database": "ok"})
        self.registry = CollectorRegistry()
        self.metrics = Metrics(self.registry)
        app = probes_app(live=lambda: self.live, ready=lambda: self.ready, metrics=self.metrics)
        self.app = measured(app, service="worker", metrics=self.metrics)


@pytest.fixture
def worker() -> Worker:
    return Worker()


@pytest_asyncio.fixture
async def client(worker: Worker) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(app=worker.app)
    async with httpx.AsyncClient(transport=transport, base_url="http://here") as made:
        yield made


@pytest.mark.parametrize("path", ["/livez", "/readyz"])
async def test_a_process_that_is_well_says_so(client: httpx.AsyncClient, path: str) -> None:
    answer = await client.get(path)

    assert (answer.status_code, answer.json()["ok"]) == (200, True)
    assert answer.headers["cache-control"] == "no-store"


async def test_a_process_that_is_not_ready_is_still_alive(
    client: httpx.AsyncClient, worker: Worker
) -> None:
    worker.ready = Health(ok=False, checks={"database": "the database does not answer"})

    ready, live = await client.get("/readyz"), await client.get("/livez")

    assert (ready.status_code, live.status_code) == (503, 200)
    assert ready.json() == {"ok": False, "checks": {"database": "the database does not answer"}}


async def test_a_process_that_is_stuck_is_not_alive(
    client: httpx.AsyncClient, worker: Worker
) -> None:
    worker.live = Health(ok=False, checks={"lane 3": "no progress for 60 s"})

    answer = await client.get("/livez")

    assert (answer.status_code, answer.json()["ok"]) == (503, False)


async def test_metrics_are_what_prometheus_reads(client: httpx.AsyncClient, worker: Worker) -> None:
    worker.metrics.set(m.API_LAG_SECONDS, 1.5)

    answer = await client.get("/metrics")

    assert answer.headers["content-type"].startswith("text/plain")
    assert "ebbtide_api_lag_seconds 1.5" in answer.text.splitlines()


@pytest.mark.parametrize("path", ["/", "/nowhere", "/livez/"])
async def test_a_worker_has_nothing_else(client: httpx.AsyncClient, path: str) -> None:
    answer = await client.get(path)

    assert answer.status_code == 404
    assert answer.json()["code"] == "not_found"


async def test_probes_are_only_read(client: httpx.AsyncClient) -> None:
    answer = await client.post("/livez")

    assert answer.status_code == 405
    assert answer.json()["code"] == "method_not_allowed"
    assert "GET" in answer.headers["allow"]


async def test_each_probe_is_counted_under_its_own_name(
    client: httpx.AsyncClient, worker: Worker
) -> None:
    for path in ("/livez", "/readyz", "/metrics"):
        await client.get(path)

    for path in ("/livez", "/readyz", "/metrics"):
        labels = {"service": "worker", "route": path, "method": "GET", "status": "200"}
        assert worker.registry.get_sample_value(m.HTTP_REQUESTS.name, labels) == 1
