"""Where the system is that the environment names, and what is known of any system."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path


class NoSystem(Exception):
    """There is no system to send to; the message says what to do."""


@dataclass(frozen=True, slots=True)
class Site:
    """The addresses and keys of a system. `clock_file` is None where its clock can't be driven."""

    ingest_url: str
    api_url: str
    write_key: str
    api_key: str
    clock_file: Path | None = None


def named_site(environ: Mapping[str, str] = os.environ) -> Site | None:
    """Return the system that EBBTIDE_DEMO_* names, None where they name nothing. Raises NoSystem.

    A key may be given as the services get theirs, `name:key, …`: the first counts.
    """
    names = ("INGEST_URL", "API_URL", "WRITE_KEY", "API_KEY")
    given = {name: environ.get(f"EBBTIDE_DEMO_{name}", "") for name in names}
    if not any(given.values()):
        return None
    missing = [f"EBBTIDE_DEMO_{name}" for name, value in given.items() if not value]
    if missing:
        raise NoSystem(f"missing: {', '.join(missing)}")
    return Site(
        given["INGEST_URL"], given["API_URL"], _key(given["WRITE_KEY"]), _key(given["API_KEY"])
    )


def _key(text: str) -> str:
    first = text.split(",", maxsplit=1)[0].strip()
    return first.partition(":")[2] or first
