"""`make run` as a person meets it: the supervisor as a process, with the real programs under it."""

import json
import os
import re
import shlex
import shutil
import signal
import socket
import stat
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from urllib.parse import urlsplit

import httpx
import psutil
import pytest
import pytest_asyncio

from deploy.local import children, ports, services
from deploy.local.broker import LocalBroker
from deploy.local.postgres import LocalPostgres
from deploy.local.state import RunInfo
from tests.brokers import format_quickly
from tests.system.local_run import LocalRun, alive, family, until

pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]


@pytest.fixture
def local(tmp_path: Path) -> Iterator[LocalRun]:
    """A run of the test's own, which nobody has started."""
    run = LocalRun(tmp_path)
    try:
        yield run
    finally:
        run.clear()


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalRun]:
    run = LocalRun(tmp_path_factory.mktemp("kept"))
    try:
        yield run
    finally:
        run.clear()


@pytest_asyncio.fixture
async def running(kept: LocalRun) -> LocalRun:
    """A run that is up and well, whatever the tests before have done to it."""
    if kept.ended:
        kept.start()
    await kept.up()
    await until(lambda: kept.do("status").returncode == 0, 60, kept.said)
    return kept


def printed_lines(run: LocalRun) -> list[str]:
    """Return the commands that a person is told to paste."""
    return [line.strip() for line in run.said().splitlines() if line.strip().startswith("curl ")]


def paste(line: str) -> str:
    return subprocess.run(
        shlex.split(line), capture_output=True, text=True, check=True, timeout=30
    ).stdout


def send_event(info: RunInfo) -> None:
    body = {"user_id": "grace", "name": "Signed Up"}
    sent = httpx.post(f"{info.ingest_url}/v1/events", auth=(info.write_key, ""), json=body)
    assert sent.status_code == 200, sent.text


async def first_seen(info: RunInfo) -> str:
    """Return when the user of `send_event` was first seen, once the event has got there."""

    def ask() -> httpx.Response:
        token = {"Authorization": f"Bearer {info.api_key}"}
        return httpx.get(f"{info.api_url}/v1/users/grace", headers=token)

    await until(lambda: ask().is_success, 30, lambda: ask().text)
    found: str = ask().json()["first_seen"]
    return found


def drained(run: LocalRun) -> dict[str, int]:
    """Return how many times each service has said that it came to its end in order."""
    logs = {name: run.state / "logs" / f"{name}.log" for name in services.ORDER}
    return {name: log.read_text().count("process_stopped") for name, log in logs.items()}


async def test_while_it_runs_a_private_file_says_where_everything_is(running: LocalRun) -> None:
    info = RunInfo(**await running.up())
    assert stat.S_IMODE(running.run_file.stat().st_mode) == 0o600
    assert set(info.pids) == {
        "supervisor", "postgres", "kafka", "segmenter", "alerts", "api", "ingest",
    }  # fmt: skip
    assert alive([psutil.Process(pid) for pid in info.pids.values()])
    assert running.do("status").returncode == 0


@pytest.mark.skipif(shutil.which("curl") is None, reason="the lines to paste are for curl")
async def test_the_printed_lines_send_an_event_and_read_the_user(running: LocalRun) -> None:
    await running.up()
    send, read = printed_lines(running)
    assert json.loads(paste(send))["accepted"] == 1
    await until(lambda: "lifecycle_since" in paste(read), 30, lambda: paste(read))
    assert json.loads(paste(read))["lifecycle"] == "new"


async def test_data_survive_a_stop_and_the_next_start_is_quick(running: LocalRun) -> None:
    info = RunInfo(**await running.up())
    send_event(info)
    before = await first_seen(info)
    assert await running.stop(signal.SIGINT) == 0

    begun = time.monotonic()
    running.start()
    info = RunInfo(**await running.up())
    assert time.monotonic() - begun < 15
    assert await first_seen(info) == before


async def test_a_stop_drains_every_program_and_in_the_opposite_order(running: LocalRun) -> None:
    info = RunInfo(**await running.up())
    started = family(info.pids["supervisor"])
    drained_before = drained(running)
    assert await running.stop() == 0
    assert not running.run_file.exists()
    stopped = [
        line.split()[1] for line in running.said().splitlines() if line.startswith("stopped ")
    ]
    assert stopped == ["ingest", "api", "alerts", "segmenter", "kafka", "postgres"]
    assert alive(started) == []
    assert drained(running) == {name: times + 1 for name, times in drained_before.items()}


async def test_a_killed_supervisor_leaves_nothing_running_and_loses_nothing(
    running: LocalRun,
) -> None:
    info = RunInfo(**await running.up())
    send_event(info)
    before = await first_seen(info)
    started = family(info.pids["supervisor"])
    assert len(started) > 7
    os.kill(info.pids["supervisor"], signal.SIGKILL)
    await until(lambda: running.ended and not alive(started), 15, lambda: alive(started))

    running.start()
    assert await first_seen(RunInfo(**await running.up())) == before


async def test_a_busy_port_is_replaced_and_named(local: LocalRun) -> None:
    with socket.create_server(("127.0.0.1", ports.any_free())) as server:
        busy = server.getsockname()[1]
        local.start(EBBTIDE_API_PORT=str(busy))
        info = RunInfo(**await local.up())
    assert f"port {busy} is busy: api listens on" in local.said()
    assert not info.api_url.endswith(f":{busy}")


async def test_a_second_run_beside_the_first_says_where_that_is_and_starts_nothing(
    running: LocalRun,
) -> None:
    info = await running.up()
    second = running.do("run")
    assert second.returncode == 0
    assert "up already" in second.stdout
    assert info["ingest_url"] in second.stdout
    assert json.loads(running.run_file.read_text()) == info


async def test_a_service_that_crashes_is_started_again_and_that_is_said(running: LocalRun) -> None:
    first = RunInfo(**await running.up())
    os.kill(first.pids["segmenter"], signal.SIGKILL)

    def replaced() -> bool:
        now: dict[str, int] = json.loads(running.run_file.read_text())["pids"]
        return now["segmenter"] != first.pids["segmenter"]

    await until(replaced, 30, running.said)
    await until(
        lambda: running.do("status").returncode == 0, 60, lambda: running.do("status").stdout
    )
    assert "segmenter ended with status -9; starting it again in" in running.said()


async def test_a_run_in_the_background_outlives_its_command_and_stops_on_demand(
    local: LocalRun,
) -> None:
    begun = local.do("run", "--detach")
    assert begun.returncode == 0, begun.stdout + begun.stderr
    assert "curl " in begun.stdout
    assert "Ctrl-C" not in begun.stdout
    info = RunInfo(**json.loads(local.run_file.read_text()))
    started = family(info.pids["supervisor"])
    stopped = local.do("stop")
    assert stopped.returncode == 0, stopped.stderr
    assert alive(started) == []
    assert "does not run" in local.do("stop").stdout


async def test_external_servers_are_used_where_they_are_named(
    local: LocalRun, tmp_path: Path
) -> None:
    # Not those of the other tests: a run gives the server's roles passwords of its own.
    postgres = LocalPostgres(tmp_path / "postgres", port=ports.any_free(), password="external")
    broker = LocalBroker(tmp_path / "kafka", port=ports.any_free())
    try:
        postgres.start()
        format_quickly(broker)
        broker.start()
        local.start(EBBTIDE_POSTGRES_DSN=postgres.dsn(), EBBTIDE_KAFKA_BOOTSTRAP=broker.bootstrap)
        info = RunInfo(**await local.up())
        assert await local.stop() == 0
    finally:
        postgres.stop()
        broker.stop()
        postgres.remove()
    assert info.postgres_dsn == postgres.dsn()
    assert info.kafka_bootstrap == broker.bootstrap
    assert not {"postgres", "kafka"} & set(info.pids)


async def test_what_another_program_answers_on_a_port_does_not_pass_for_the_service(
    running: LocalRun,
) -> None:
    info = RunInfo(**await running.up())
    port = urlsplit(info.api_url).port
    assert port is not None
    os.kill(info.pids["api"], signal.SIGKILL)
    await until(lambda: not children.serves(info.pids["api"], port), 10, running.said)

    with pretender(port):
        assert services.answers(f"{info.api_url}/readyz")
        await until(
            lambda: f"another program has taken port {port}" in running.said(), 60, running.said
        )
        assert running.do("status").returncode == 1
        assert "api runs again" not in running.said()

    await until(lambda: "api runs again" in running.said(), 60, running.said)
    assert running.do("status").returncode == 0


@contextmanager
def pretender(port: int) -> Iterator[None]:
    """Answer everything on a port with a success."""

    class Yes(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()

    with ThreadingHTTPServer((services.HOST, port), Yes) as server:
        Thread(target=server.serve_forever, args=(0.01,)).start()
        yield
        server.shutdown()


async def test_a_deleted_run_file_is_written_again_and_a_frozen_broker_is_not_ready(
    running: LocalRun,
) -> None:
    info = await running.up()

    running.run_file.unlink()
    await until(running.run_file.exists, 5, running.said)
    assert json.loads(running.run_file.read_text()) == info

    os.kill(info["pids"]["kafka"], signal.SIGSTOP)
    try:
        said = running.do("status")
    finally:
        os.kill(info["pids"]["kafka"], signal.SIGCONT)
    assert said.returncode == 1
    assert re.search(r"NOT READY +kafka .*it does not answer", said.stdout), said.stdout
