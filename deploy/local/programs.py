"""What the supervisor keeps running, all with the same handles: servers and services."""

import signal
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from deploy.local import children, services
from deploy.local.errors import DidNotStart
from deploy.local.state import ROOT

STOP_S = 40.0  # a service bounds each part of its stop itself; this is for one that hangs


class Program(Protocol):
    """A running program that can be started again."""

    log: Path
    port: int

    @property
    def process(self) -> subprocess.Popen[bytes] | None: ...

    def start(self) -> None:
        """Start and wait until it is of use. Raises DidNotStart."""
        ...

    def ready(self) -> bool:
        """Tell whether it is of use now. Takes a second or two at most."""
        ...

    def stop(self) -> None:
        """Stop in order, within a bounded time."""
        ...


class ServiceProgram:
    """One of the four services."""

    def __init__(self, name: str, *, env: Mapping[str, str], port: int, log: Path) -> None:
        self.name = name
        self.log = log
        self.port = port
        self._env = env
        self._ready_url = f"http://{services.HOST}:{port}/readyz"
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def process(self) -> subprocess.Popen[bytes] | None:
        return self._process

    def begin(self) -> None:
        command: list[str | Path] = [services.python(), "-m", f"services.{self.name}"]
        self._process = children.spawn(command, log=self.log, env=self._env, cwd=ROOT)

    def wait(self, *, within_s: float = 90.0) -> None:
        """Wait until it says that it is ready. Raises DidNotStart."""
        if self._process is None:
            raise RuntimeError("begin first")
        children.wait_until(
            lambda: services.answers(self._ready_url),
            child=self._process,
            port=self.port,
            what=self.name,
            log=self.log,
            within_s=within_s,
        )

    def start(self) -> None:
        """Start without waiting: one that comes back finds the others in their own time."""
        self.begin()

    def ready(self) -> bool:
        return (
            self._process is not None
            and children.serves(self._process.pid, self.port)
            and services.answers(self._ready_url)
        )

    def stop(self) -> None:
        if self._process is not None:
            children.end(self._process, how=signal.SIGTERM, within_s=STOP_S)


def run_command(module: str, *, env: Mapping[str, str], log: Path, within_s: float = 180.0) -> str:
    """Run `python -m module` to its end and return the last line it wrote. Raises DidNotStart."""
    child = children.spawn([services.python(), "-m", module], log=log, env=env, cwd=ROOT)
    try:
        status = child.wait(within_s)
    except subprocess.TimeoutExpired:
        child.kill()
        raise DidNotStart(f"{module} took over {within_s:.0f} s\n{children.tail(log)}") from None
    if status != 0:
        raise DidNotStart(f"{module} ended with status {status}\n{children.tail(log)}")
    return children.tail(log, lines=1)
