"""Where the system is: as the settings say, as a live local run says, or in a run started for this."""

import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from deploy.local.state import ROOT, State, state_directory


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


def find_site(environ: Mapping[str, str] = os.environ) -> Site:
    """Return the system that EBBTIDE_DEMO_* names, else the local one, started if it does not run."""
    return _configured(environ) or local_site(state_directory(environ), environ)


def local_site(directory: Path, environ: Mapping[str, str] = os.environ) -> Site:
    """Return the local run of a state directory, started in the background if it does not run."""
    state = State(directory)
    if state.holder() is None:
        words = [sys.executable, "-m", "deploy.local", "run", "--detach"]
        env = {**environ, "EBBTIDE_LOCAL_DIR": str(state.directory)}
        if subprocess.run(words, cwd=ROOT, env=env, check=False).returncode != 0:
            raise NoSystem("the local system did not start")
    run = state.read_run()
    if run is None:
        raise NoSystem(f"the system in {state.directory} is not up yet: try again in a moment")
    return Site(run.ingest_url, run.api_url, run.write_key, run.api_key, Path(run.clock_file))


def _configured(environ: Mapping[str, str]) -> Site | None:
    names = ("INGEST_URL", "API_URL", "WRITE_KEY", "API_KEY")
    given = {name: environ.get(f"EBBTIDE_DEMO_{name}", "") for name in names}
    if not any(given.values()):
        return None
    missing = [f"EBBTIDE_DEMO_{name}" for name, value in given.items() if not value]
    if missing:
        raise NoSystem(f"missing: {', '.join(missing)}")
    return Site(given["INGEST_URL"], given["API_URL"], given["WRITE_KEY"], given["API_KEY"])
