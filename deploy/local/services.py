"""The services as programs: their order, and the environment that each is started with."""

import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException
from importlib import import_module
from pathlib import Path
from urllib.parse import urlsplit

from deploy.local.errors import LocalError
from shared.configuration import load
from shared.errors import InvalidConfiguration

# Each needs those before it only in order to be useful, not in order to start; ingest opens last.
ORDER = ("segmenter", "alerts", "api", "ingest")
ROLES = ("segmenter", "alerts", "api")
HOST = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What the services are told about the rest: one set for the whole system."""

    kafka_bootstrap: str
    postgres_dsns: Mapping[str, str]  # by service
    clock_file: Path
    source: str
    write_key: str
    api_key: str


def environment(
    service: str, around: Surroundings, *, port: int, base: Mapping[str, str]
) -> dict[str, str]:
    """Return the environment of a service: `base`, with what is decided here on top."""
    prefix = f"EBBTIDE_{service.upper()}"
    decided = {
        "EBBTIDE_CLOCK_FILE": str(around.clock_file),
        f"{prefix}_HOST": HOST,
        f"{prefix}_PORT": str(port),
        "PYTHONUNBUFFERED": "1",
    }
    if service != "api":
        decided["EBBTIDE_KAFKA_BOOTSTRAP"] = around.kafka_bootstrap
    if service != "ingest":
        decided["EBBTIDE_POSTGRES_DSN"] = around.postgres_dsns[service]
    if service == "ingest":
        keys = (f"{around.source}:{around.write_key}", base.get("EBBTIDE_INGEST_WRITE_KEYS"))
        decided["EBBTIDE_INGEST_WRITE_KEYS"] = ",".join(filter(None, keys))
    if service == "api":
        keys = (f"{around.source}:{around.api_key}", base.get("EBBTIDE_API_KEYS"))
        decided["EBBTIDE_API_KEYS"] = ",".join(filter(None, keys))
        writers = (around.source, base.get("EBBTIDE_API_WRITERS"))
        decided["EBBTIDE_API_WRITERS"] = ",".join(filter(None, writers))
    return override(base, decided)


def override(base: Mapping[str, str], decided: Mapping[str, str]) -> dict[str, str]:
    """Return `base` with `decided` in force, also where it names a file that holds the value."""
    return {
        **{
            name: value for name, value in base.items() if name.removesuffix("_FILE") not in decided
        },
        **decided,
    }


def check_settings(service: str, env: Mapping[str, str]) -> None:
    """Raise LocalError where a service would refuse its environment, before anything runs."""
    settings = import_module(f"services.{service}.settings").Settings
    try:
        load(settings, service=service, environ=env)
    except InvalidConfiguration as error:
        raise LocalError(f"{service} can't start so: {error}") from None


def answers(url: str, *, within_s: float = 2.0) -> bool:
    """Tell whether a GET is answered with a success."""
    return not trouble(url, within_s=within_s)


def trouble(url: str, *, within_s: float = 2.0) -> str:
    """Return why a probe is not answered with a success, in the service's own words; or nothing."""
    parts = urlsplit(url)
    connection = HTTPConnection(parts.hostname or HOST, parts.port, timeout=within_s)
    try:
        connection.request("GET", parts.path)
        answer = connection.getresponse()
        return "" if answer.status == HTTPStatus.OK else _reason(answer.read())
    except (OSError, HTTPException):
        return "it does not answer"
    finally:
        connection.close()


def _reason(body: bytes) -> str:
    try:
        checks = json.loads(body)["checks"].items()
    except (ValueError, LookupError, TypeError, AttributeError):
        return "it says that it is not"
    return "; ".join(f"{name}: {found}" for name, found in checks if found != "ok")


def python() -> Path:
    """Return the interpreter that runs the services: this one."""
    return Path(sys.executable)
