"""docker-compose.yml as tests look at it: parsed, and with its variables filled in."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
FILE = ROOT / "docker-compose.yml"
SERVICES = ("ingest", "segmenter", "alerts", "api")

# ${NAME}, ${NAME:-default}, ${NAME:?why}
_VARIABLE = re.compile(r"\$\{(?P<name>\w+)(?::(?P<how>[-?])(?P<rest>[^}]*))?\}")


class Missing(Exception):
    """A variable that must be given is not."""


def compose() -> dict[str, Any]:
    parsed: dict[str, Any] = yaml.safe_load(FILE.read_text())
    return parsed


def services() -> dict[str, Any]:
    found: dict[str, Any] = compose()["services"]
    return found


def fill_in(text: str, given: Mapping[str, str]) -> str:
    """Put variables in, by Compose's rules for those forms that the file uses."""

    def value(match: re.Match[str]) -> str:
        found = given.get(match["name"], "")
        if not found and match["how"] == "?":
            raise Missing(match["name"])
        return found or (match["rest"] if match["how"] == "-" else "")

    return _VARIABLE.sub(value, text)


def variables(text: str) -> set[str]:
    return {match["name"] for match in _VARIABLE.finditer(text)}


def required() -> set[str]:
    """The variables without which Compose refuses to start anything."""
    return {m["name"] for m in _VARIABLE.finditer(FILE.read_text()) if m["how"] == "?"}


def environment(service: str, given: Mapping[str, str]) -> dict[str, str]:
    """Return what the service's container gets to see."""
    declared = services()[service]["environment"]
    return {name: fill_in(str(value), given) for name, value in declared.items()}
