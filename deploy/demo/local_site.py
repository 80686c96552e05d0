"""The local run of a state directory as a site: one that runs, or one started for this."""

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from deploy.demo.site import NoSystem, Site
from deploy.local.state import ROOT, State


def local_site(directory: Path, environ: Mapping[str, str] = os.environ) -> Site:
    """Return the local run of a state directory, started in the background if it does not run."""
    state = State(directory)
    if state.holder() is None:
        words = [sys.executable, "-m", "deploy.local", "run", "--detach"]
        env = {**environ, "EBBTIDE_LOCAL_DIR": str(state.directory)}
        if subprocess.run(words, cwd=ROOT, env=env, check=False).returncode != 0:
            raise NoSystem("the local system did not start")
    return site_of(state)


def site_of(state: State) -> Site:
    """Return what runs from a state directory. Raises NoSystem."""
    run = state.read_run()
    if run is None:
        raise NoSystem(f"the system in {state.directory} is not up yet: try again in a moment")
    return Site(run.ingest_url, run.api_url, run.write_key, run.api_key, Path(run.clock_file))
