"""The segmenter's own program for rebuilds, as `ebbtide rebuild` starts it."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import FrameType

from deploy.cli.exits import Failed
from deploy.local.children import bound
from deploy.local.dsn import with_role
from deploy.local.services import override
from deploy.local.state import ROOT, State, state_directory

DSN = "EBBTIDE_POSTGRES_DSN"


def start(words: Sequence[str]) -> subprocess.Popen[str]:
    """Start it: lines of JSON come out, and its words on errors go where ours go. Raises Failed.

    It ends when this process does. The terminal's Ctrl-C is kept from it: `stopped_by_signals` stops it.
    """
    return subprocess.Popen(
        bound([sys.executable, "-m", "services.segmenter.rebuild", *words]),
        cwd=ROOT,
        env=environment(os.environ),
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


@contextmanager
def stopped_by_signals(running: "subprocess.Popen[str]") -> Iterator[list[int]]:
    """Have SIGTERM and Ctrl-C stop it in order, and a second one at once; yield those that came.

    Nothing is raised meanwhile, so that what it says at last is still read.
    """
    came: list[int] = []

    def stop(number: int, _frame: FrameType | None) -> None:
        came.append(number)
        running.terminate()

    before = {each: signal.signal(each, stop) for each in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield came
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)


def environment(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the environment with the address of the database: as named, or of the run on this machine.

    By the environment, because others on the machine can see a command's words. Raises Failed.
    """
    base = {**environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}
    if environ.get(DSN) or environ.get(f"{DSN}_FILE"):
        return base
    state = State(state_directory(environ))
    run = state.read_run()
    if run is None:
        raise Failed(f"no database is named by {DSN}, and none runs on this machine (`make run`)")
    password = state.keys().segmenter_password
    decided = {
        DSN: with_role(run.postgres_dsn, "ebbtide_segmenter", password),
        "EBBTIDE_CLOCK_FILE": run.clock_file,
    }
    return override(base, decided)
