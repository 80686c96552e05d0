"""The Dockerfile: what goes into an image, who runs in it, and how its health is asked for."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import PurePosixPath
from threading import Thread

import pytest

from tests.architecture.compose_file import ROOT, SERVICES

DOCKERFILE = ROOT / "deploy/docker/Dockerfile"
HEALTHCHECK = ROOT / "deploy/docker/healthcheck.py"
FINAL = ("migrate", "demo", "service")


def stages() -> dict[str, list[tuple[str, str]]]:
    """Return each stage's instructions, in order, with continued lines joined."""
    text = re.sub(r"\\\n\s*", " ", DOCKERFILE.read_text())
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    found: dict[str, list[tuple[str, str]]] = {}
    stage: list[tuple[str, str]] = []
    for line in lines:
        word, _, rest = line.partition(" ")
        if word == "FROM":
            stage = found[rest.split(" AS ")[1]] = []
        stage.append((word, rest.strip()))
    return found


def lineage(stage: str) -> list[tuple[str, str]]:
    """Return the instructions of a stage after those of the stages that it builds on."""
    own = stages()[stage]
    parent = own[0][1].split(" AS ")[0]
    return (lineage(parent) if parent in stages() else []) + own


def copied(stage: str) -> list[str]:
    """Return what a stage's image holds of the checkout."""
    return [
        rest.split()[0]
        for word, rest in lineage(stage)
        if word == "COPY" and not rest.startswith("--from=")
    ]


def test_every_base_is_an_official_image_with_its_version() -> None:
    bases = {own[0][1].split(" AS ")[0] for own in stages().values()} - set(stages())

    assert bases == {"python:3.13-slim"}


@pytest.mark.parametrize("stage", FINAL)
def test_nobody_runs_as_root(stage: str) -> None:
    users = [rest for word, rest in lineage(stage) if word == "USER"]

    assert users
    uid, _, gid = users[-1].partition(":")
    assert int(uid) >= 10_000
    assert int(gid) >= 10_000
    after = [word for word, _ in lineage(stage)]
    assert after.index("USER") > max(i for i, word in enumerate(after) if word == "COPY")


def test_an_image_holds_one_service_and_what_services_share() -> None:
    assert copied("service") == [
        "shared",
        "deploy/docker/healthcheck.py",
        "services/__init__.py",
        "services/${SERVICE}",
    ]
    assert copied("migrate") == ["shared"]
    assert copied("demo") == ["shared", "deploy/__init__.py", "deploy/demo"]


def test_no_instruction_copies_everything_or_fetches_from_the_net() -> None:
    for instructions in stages().values():
        for word, rest in instructions:
            assert word != "ADD"
            assert word != "COPY" or rest.split()[0] not in (".", "./", "*")
            assert not re.search(r"\b(curl|wget|apt-get|sudo)\b", rest)


def test_dependencies_come_from_the_services_own_lock_with_hashes_and_as_wheels() -> None:
    [install] = [rest for _, rest in stages()["locked"] if "pip " in rest]

    assert "--require-hashes" in install
    assert "--only-binary :all:" in install
    assert "--no-deps" in install
    assert ("COPY", "deploy/requirements/${SERVICE}.txt /tmp/requirements.txt") in stages()[
        "locked"
    ]


@pytest.mark.parametrize("stage", FINAL)
def test_commands_are_in_exec_form_and_leave_no_shell_between_signals_and_python(
    stage: str,
) -> None:
    [command] = [rest for word, rest in stages()[stage] if word == "CMD"]

    assert command.startswith("[")
    assert '"python"' in command.split(",")[0] or "exec python" in command


def test_the_last_target_is_a_service_with_a_health_check() -> None:
    assert list(stages())[-1] == "service"
    [check] = [rest for word, rest in stages()["service"] if word == "HEALTHCHECK"]
    assert "/app/healthcheck.py" in check
    assert ("WORKDIR", "/app") in stages()["base"]
    assert ("COPY", "deploy/docker/healthcheck.py healthcheck.py") in stages()["service"]


def test_the_context_holds_what_is_copied_and_no_more() -> None:
    lines = (ROOT / ".dockerignore").read_text().split("\n")
    patterns = [line for line in lines if line and not line.startswith("#")]
    let_in = {PurePosixPath(line[1:]) for line in patterns if line.startswith("!")}

    assert patterns[0] == "*"
    assert "shared/testing" in patterns
    needed = {PurePosixPath(path) for stage in FINAL for path in copied(stage)}
    needed.add(PurePosixPath("deploy/requirements/${SERVICE}.txt"))
    for path in needed:
        assert any(path.is_relative_to(entry) for entry in let_in), path
    for entry in let_in:
        assert any(path.is_relative_to(entry) for path in needed), entry


@pytest.mark.parametrize("service", [*SERVICES, "migrate", "local"])
def test_every_service_has_a_lock_with_hashes_and_no_address(service: str) -> None:
    lock = (ROOT / f"deploy/requirements/{service}.txt").read_text()

    pinned = re.findall(r"^[a-z0-9-]+==\S+", lock, re.MULTILINE)
    assert pinned
    assert "--hash=sha256:" in lock
    assert "://" not in lock


@contextmanager
def answering(status: int) -> Iterator[int]:
    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status if self.path == "/readyz" else 404)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            """Quiet."""

    server = HTTPServer(("127.0.0.1", 0), Answer)
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def check_health(port: int) -> int:
    environ = {**os.environ, "PORT": str(port), "http_proxy": "http://127.0.0.1:1"}
    command = [sys.executable, str(HEALTHCHECK)]
    return subprocess.run(command, env=environ, check=False, capture_output=True).returncode


def test_the_health_check_tells_ready_from_not_ready_and_from_gone() -> None:
    with answering(200) as port:
        assert check_health(port) == 0
    assert check_health(port) == 1
    with answering(503) as port:
        assert check_health(port) == 1
