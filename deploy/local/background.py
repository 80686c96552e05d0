"""A supervisor without a terminal: started in the background, and stopped from elsewhere."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import psutil

from deploy.local import children
from deploy.local.errors import DidNotStart, LocalError
from deploy.local.say import say
from deploy.local.state import ROOT, State

START_S = 600.0  # a first start downloads
STOP_S = 240.0  # each program bounds its own stop
_POLL_S = 0.1


def run_detached(state: State) -> int:
    """Start a supervisor in a session of its own and show what it says until all is up."""
    state.prepare()
    log = state.log("supervisor")
    with log.open("wb") as output:
        child = subprocess.Popen(
            [sys.executable, "-m", "deploy.local", "run", "--in-background"],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            cwd=ROOT,
            env={**os.environ, "EBBTIDE_LOCAL_DIR": str(state.directory), "PYTHONUNBUFFERED": "1"},
            start_new_session=True,
        )
    try:
        return _show_until_up(state, child, log)
    except BaseException:  # Ctrl-C, or it took too long: not half a system in the background
        child.terminate()
        child.wait()
        raise


def start_bound(state: State) -> subprocess.Popen[bytes]:
    """Start a supervisor that stops when this process ends, however it ends; return once all is up.

    It says nothing here. Called by the main thread. Raises DidNotStart.
    """
    state.prepare()
    log = state.log("supervisor")
    log.write_bytes(b"")
    child = children.spawn(
        [sys.executable, "-m", "deploy.local", "run"],
        log=log,
        cwd=ROOT,
        env={**os.environ, "EBBTIDE_LOCAL_DIR": str(state.directory), "PYTHONUNBUFFERED": "1"},
        death_signal=signal.SIGTERM,
    )
    try:
        children.wait_until(
            lambda: state.read_run() is not None,
            child=child,
            what="the system",
            log=log,
            within_s=START_S,
        )
    except BaseException:
        stop_bound(child)
        raise
    return child


def stop_bound(child: subprocess.Popen[bytes]) -> None:
    children.end(child, within_s=STOP_S)


def stop(state: State) -> int:
    """Ask the supervisor to stop and wait until it has. Raises LocalError when it does not."""
    holder = state.holder()
    if holder is None:
        say(f"Ebbtide does not run from {state.directory}")
        return 0
    say("stopping …")
    with suppress(ProcessLookupError):
        os.kill(holder, signal.SIGTERM)
    # It lets go of the directory as the last thing that it does, and is a process for a moment longer.
    if not _wait(lambda: state.holder() != holder and _is_gone(holder), STOP_S):
        raise LocalError(f"process {holder} did not stop within {STOP_S:.0f} s")
    say("stopped")
    return 0


def _is_gone(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def _show_until_up(state: State, child: subprocess.Popen[bytes], log: Path) -> int:
    with log.open() as shown:

        def settled() -> bool:
            up = child.poll() is not None or state.read_run() is not None
            say(shown.read(), end="")
            return up

        if not _wait(settled, START_S):
            raise DidNotStart(f"not up after {START_S:.0f} s; {log}")
    return child.poll() or 0


def _wait(done: Callable[[], bool], within_s: float) -> bool:
    deadline = time.monotonic() + within_s
    while not done():
        if time.monotonic() > deadline:
            return False
        time.sleep(_POLL_S)
    return True
