"""A `make run` of a test's own: its state directory and its ports are nobody else's."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import psutil

from deploy.local import children
from deploy.local.plan import WANTED
from tests.system.stack import ROOT

START_S = 150.0
STOP_S = 100.0


class LocalRun:
    """The supervisor as a process, and what it says."""

    def __init__(self, directory: Path) -> None:
        self.state = directory / "state"
        self.output = directory / "output.log"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, **environ: str) -> None:
        """Start it with ports of its own, but for those that are given."""
        self.output.write_bytes(b"")
        self.process = children.spawn(
            self.command("run"), log=self.output, env=self.environment(**environ), cwd=ROOT
        )

    def command(self, *words: str) -> list[str]:
        return [sys.executable, "-m", "deploy.local", *words]

    def environment(self, **environ: str) -> Mapping[str, str]:
        mine = {name: value for name, value in os.environ.items() if "EBBTIDE" not in name}
        kept = {name: os.environ[name] for name in ("EBBTIDE_LOCAL_CACHE",) if name in os.environ}
        wishes = {variable: "0" for variable, _ in WANTED.values()}
        return mine | kept | wishes | {"EBBTIDE_LOCAL_DIR": str(self.state)} | environ

    async def up(self) -> dict[str, Any]:
        """Wait until it is up and return what run.json says."""
        await until(lambda: self._published() or self.ended, START_S, self.said)
        assert not self.ended, self.said()
        return self._published()

    def _published(self) -> dict[str, Any]:
        """Return what this run wrote into run.json; that of one which was killed is not it."""
        assert self.process is not None
        try:
            found: dict[str, Any] = json.loads(self.run_file.read_text())
        except FileNotFoundError:
            return {}
        return found if found["pids"]["supervisor"] == self.process.pid else {}

    async def stop(self, how: signal.Signals = signal.SIGTERM) -> int:
        """Send a signal, wait for its end, and return its status."""
        assert self.process is not None
        self.process.send_signal(how)
        await until(lambda: self.ended, STOP_S, self.said)
        return self.process.returncode

    def do(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run another command on the same state directory."""
        return subprocess.run(
            self.command(*words),
            env=dict(self.environment()),
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
            timeout=STOP_S,
        )

    def clear(self) -> None:
        """End what may still run, and delete everything."""
        if self.process is not None and not self.ended:
            children.end(self.process, within_s=STOP_S)
        self.do("down")

    def said(self) -> str:
        return self.output.read_text()

    @property
    def ended(self) -> bool:
        return self.process is None or self.process.poll() is not None

    @property
    def run_file(self) -> Path:
        return self.state / "run.json"


def family(pid: int) -> list[psutil.Process]:
    """Return a process with all that it started, and all that those did."""
    parent = psutil.Process(pid)
    return [parent, *parent.children(recursive=True)]


def alive(processes: list[psutil.Process]) -> list[str]:
    """Return the names of those that still run; the dead that nobody has buried do not."""
    names = []
    for process in processes:
        try:
            if process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
                names.append(process.name())
        except psutil.NoSuchProcess:
            continue
    return names


async def until(
    holds: Callable[[], object], within_s: float, why_not: Callable[[], object]
) -> None:
    """Wait for a condition; what `why_not` returns explains a failure."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + within_s
    while not holds():
        assert loop.time() < deadline, why_not()
        await asyncio.sleep(0.1)
