"""The alerts service as a process: from its settings to the webhook, and its end."""

import asyncio
import json
import os
import re
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from uuid import uuid4

import httpx
import pytest
from aiokafka import AIOKafkaProducer

from shared.contracts import topics
from shared.contracts.codec import encode
from shared.kafka.provision import ProvisionSettings, provision
from shared.vocabulary import Lifecycle
from tests.integration.alerts.receiver import receiver
from tests.integration.alerts.test_transition_lane import message, until
from tests.servers import Database

pytestmark = [pytest.mark.postgres, pytest.mark.kafka]

ROOT = Path(__file__).parents[3]
SECRET = "a-secret-of-the-webhook"
PROGRAM = (sys.executable, "-m", "services.alerts")


def environment(**own: str) -> dict[str, str]:
    base = {name: value for name, value in os.environ.items() if not name.startswith("EBBTIDE_")}
    return base | own


@asynccontextmanager
async def alerts(log: Path, **own: str) -> AsyncIterator[asyncio.subprocess.Process]:
    with log.open("wb") as stderr:
        process = await asyncio.create_subprocess_exec(
            *PROGRAM, env=environment(**own), cwd=ROOT, stderr=stderr
        )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


def logged(log: Path, event: str) -> dict[str, object] | None:
    lines = [json.loads(line) for line in log.read_text().splitlines() if line.startswith("{")]
    return next((line for line in lines if line["event"] == event), None)


async def answers(url: str, status: int) -> bool:
    try:
        async with httpx.AsyncClient(trust_env=False) as client:
            return (await client.get(url)).status_code == status
    except httpx.HTTPError:
        return False


async def ready(log: Path) -> str:
    """Return the process's address once it says that it is ready."""
    await until(lambda: logged(log, "http_listening") is not None)
    listening = logged(log, "http_listening")
    assert listening is not None
    address = f"http://127.0.0.1:{listening['port']}"
    async with asyncio.timeout(30):
        while not await answers(f"{address}/readyz", 200):  # noqa: ASYNC110
            await asyncio.sleep(0.1)
    return address


async def test_a_churn_on_the_topic_is_posted_and_a_signal_ends_the_process_in_order(
    database: Database, kafka_bootstrap: str, tmp_path: Path
) -> None:
    settings = ProvisionSettings(kafka_bootstrap=kafka_bootstrap, clock_file=Path("driven"))
    await provision(kafka_bootstrap, settings, wanted=(topics.TRANSITIONS, topics.ALERTS))
    user, log = f"u-{uuid4().hex}", tmp_path / "alerts.log"
    async with (
        receiver() as target,
        alerts(
            log,
            EBBTIDE_KAFKA_BOOTSTRAP=kafka_bootstrap,
            EBBTIDE_POSTGRES_DSN=database.alerts,
            EBBTIDE_ALERTS_PORT="0",
            EBBTIDE_ALERTS_GROUP=f"alerts-{uuid4().hex[:8]}",
            EBBTIDE_ALERTS_WEBHOOK_ALLOW_LOCAL="true",
            EBBTIDE_ALERTS_WEBHOOK_URL=f"http://127.0.0.1:{target.port}/token-in-the-path",
            EBBTIDE_ALERTS_WEBHOOK_SECRET=SECRET,
        ) as process,
    ):
        address = await ready(log)
        producer = AIOKafkaProducer(bootstrap_servers=kafka_bootstrap)
        await producer.start()
        churn = encode(message(Lifecycle.CHURNED, 30, user=user))
        await producer.send_and_wait(topics.TRANSITIONS.name, churn, key=user.encode())
        await producer.stop()
        await until(lambda: any(user.encode() in got.body for got in target.received))
        async with httpx.AsyncClient(trust_env=False) as client:
            live = await client.get(f"{address}/livez")
            metrics = (await client.get(f"{address}/metrics")).text
        process.send_signal(signal.SIGTERM)
        status = await asyncio.wait_for(process.wait(), 30)

    assert live.status_code == 200
    assert re.search(r'ebbtide_alerts_fired_total\{kind="user_churned"\} [1-9]', metrics)
    assert status == 0, log.read_text()
    assert SECRET not in log.read_text()
    assert "token-in-the-path" not in log.read_text()
    assert user not in log.read_text()


@pytest.mark.parametrize(
    ("own", "named"),
    [
        ({}, "EBBTIDE_KAFKA_BOOTSTRAP is missing"),
        ({"EBBTIDE_ALERTS_GROUP": "segmenter"}, "EBBTIDE_ALERTS_GROUP"),
        ({"EBBTIDE_ALERTS_COLOUR": "red"}, "EBBTIDE_ALERTS_COLOUR"),
    ],
)
async def test_a_bad_setting_stops_it_at_once_with_status_2_and_the_variables_name(
    own: dict[str, str], named: str
) -> None:
    process = await asyncio.create_subprocess_exec(
        *PROGRAM, env=environment(**own), cwd=ROOT, stderr=asyncio.subprocess.PIPE
    )

    _, stderr = await asyncio.wait_for(process.communicate(), 30)

    assert process.returncode == 2
    [line] = stderr.decode().strip().splitlines()
    assert named in line
