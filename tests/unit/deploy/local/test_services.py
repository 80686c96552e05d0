from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import ClassVar

import pytest

from deploy.local import ports, services
from deploy.local.errors import LocalError
from deploy.local.services import Surroundings

AROUND = Surroundings(
    kafka_bootstrap="127.0.0.1:9092",
    postgres_dsns={
        role: f"postgresql://{role}:word@127.0.0.1:5432/ebbtide" for role in services.ROLES
    },
    clock_file=Path("/clock.json"),
    source="local",
    write_key="w" * 32,
    api_key="a" * 32,
)


@pytest.mark.parametrize("service", services.ORDER)
def test_each_service_is_told_only_of_what_it_may_reach(service: str) -> None:
    env = services.environment(service, AROUND, port=1, base={})
    assert ("EBBTIDE_KAFKA_BOOTSTRAP" in env) == (service != "api")
    assert env.get("EBBTIDE_POSTGRES_DSN") == AROUND.postgres_dsns.get(service)
    assert env[f"EBBTIDE_{service.upper()}_PORT"] == "1"


def test_what_is_decided_wins_over_a_file_that_holds_the_same() -> None:
    base = {"EBBTIDE_POSTGRES_DSN_FILE": "/run/secrets/owner", "PATH": "/bin"}
    env = services.environment("api", AROUND, port=1, base=base)
    assert "EBBTIDE_POSTGRES_DSN_FILE" not in env
    assert env["PATH"] == "/bin"


def test_keys_of_the_users_own_are_good_beside_the_generated_ones() -> None:
    base = {"EBBTIDE_INGEST_WRITE_KEYS": "shop:my-own-key"}
    env = services.environment("ingest", AROUND, port=1, base=base)
    assert env["EBBTIDE_INGEST_WRITE_KEYS"] == f"local:{AROUND.write_key},shop:my-own-key"


class Probe(BaseHTTPRequestHandler):
    """Answers like a service that is not ready, or like something else."""

    answers: ClassVar[dict[str, bytes]] = {
        "/readyz": b'{"ok": false, "checks": {"topic": "ok", "broker": "Kafka does not answer"}}',
        "/other": b"<h1>Sorry</h1>",
    }

    def do_GET(self) -> None:
        self.send_response(503)
        self.end_headers()
        self.wfile.write(self.answers[self.path])

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  its name there
        pass


@pytest.fixture
def probe() -> Iterator[str]:
    with ThreadingHTTPServer((services.HOST, 0), Probe) as server:
        Thread(target=server.serve_forever, args=(0.01,)).start()
        yield f"http://{services.HOST}:{server.server_port}"
        server.shutdown()


def test_a_service_that_is_not_ready_says_why_itself(probe: str) -> None:
    assert services.trouble(f"{probe}/readyz") == "broker: Kafka does not answer"
    assert services.trouble(f"{probe}/other") == "it says that it is not"
    assert not services.answers(f"{probe}/readyz")


def test_a_service_that_is_not_there_does_not_answer() -> None:
    assert services.trouble(f"http://{services.HOST}:{ports.any_free()}/") == "it does not answer"


@pytest.mark.parametrize("service", services.ORDER)
def test_a_wrong_setting_of_any_service_is_named_before_anything_runs(service: str) -> None:
    env = services.environment(service, AROUND, port=1, base={})
    services.check_settings(service, env)
    stray = f"EBBTIDE_{service.upper()}_STRAY"

    with pytest.raises(LocalError, match=f"{service} can't start so: {stray}"):
        services.check_settings(service, {**env, stray: "1"})
