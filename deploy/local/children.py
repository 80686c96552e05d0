"""Programs that this process starts: each in a session of its own, and dead when this process is."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import psutil

from deploy.local import ports
from deploy.local.errors import DidNotStart

_BECOME = Path(__file__).with_name("child.py")
POLL_S = 0.05


def spawn(
    command: Sequence[str | Path],
    *,
    log: Path,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    user: str | None = None,
    death_signal: signal.Signals = signal.SIGKILL,
) -> subprocess.Popen[bytes]:
    """Start a program whose output goes to the end of `log`, `bound` to this one.

    A session of its own keeps the terminal's Ctrl-C from it: it is stopped in order.
    """
    words = bound(command, user=user, death_signal=death_signal)
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as output:
        return subprocess.Popen(
            words,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env=None if env is None else dict(env),
            cwd=cwd,
            start_new_session=True,
        )


def bound(
    command: Sequence[str | Path],
    *,
    user: str | None = None,
    death_signal: signal.Signals = signal.SIGKILL,
) -> list[str]:
    """Return the words that start a program which does not outlive this one, however this one ends.

    The kernel sends it `death_signal` when the thread that starts it ends: so only the main thread may.
    """
    if threading.current_thread() is not threading.main_thread():
        raise RuntimeError("children live as long as the thread that starts them: use the main one")
    become = [sys.executable, "-I", "-S", str(_BECOME), str(os.getpid()), str(int(death_signal))]
    return [*become, user or "-", *(str(word) for word in command)]


def end(
    child: subprocess.Popen[bytes], *, how: signal.Signals = signal.SIGTERM, within_s: float = 30.0
) -> bool:
    """Ask a program to end and wait; kill it where it does not. Return whether it ended by itself."""
    if child.poll() is not None:
        return True
    child.send_signal(how)
    try:
        child.wait(within_s)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()
        return False
    return True


def wait_until(
    ready: Callable[[], bool],
    *,
    child: subprocess.Popen[bytes],
    port: int | None = None,
    what: str,
    log: Path,
    within_s: float,
) -> None:
    """Wait for a program to become ready. Raises DidNotStart with the end of its log.

    Where its port is given, an answer counts only while the program itself listens there: another
    one may have taken it.
    """
    deadline = time.monotonic() + within_s
    while not ((port is None or serves(child.pid, port)) and ready() and child.poll() is None):
        if child.poll() is not None:
            how = f"status {child.returncode}{'' if port is None else taken_port(port)}"
            raise DidNotStart(f"{what} ended with {how}\n{tail(log)}")
        if time.monotonic() > deadline:
            raise DidNotStart(f"{what} was not ready after {within_s:.0f} s\n{tail(log)}")
        time.sleep(POLL_S)


def serves(pid: int, port: int) -> bool:
    """Tell whether this very process listens there, as far as we may look into it."""
    try:
        links = psutil.Process(pid).net_connections(kind="tcp")
    except psutil.AccessDenied:  # as root without all of root's rights, into what runs as nobody
        return True
    except psutil.NoSuchProcess:
        return False
    return any(link.status == psutil.CONN_LISTEN and link.laddr.port == port for link in links)


def taken_port(port: int) -> str:
    """Return words to follow the end of a program, where another one listens on its port."""
    if ports.is_free(port):
        return ""
    return f": another program has taken port {port}; the next `make run` chooses a free one"


def listens(port: int, host: str = "127.0.0.1") -> bool:
    """Tell whether somebody accepts connections there."""
    with socket.socket() as probe:
        probe.settimeout(1.0)
        return probe.connect_ex((host, port)) == 0


def tail(log: Path, *, lines: int = 15) -> str:
    """Return the last lines of a log, or nothing."""
    if not log.exists():
        return ""
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - 32_768))
        return "\n".join(file.read().decode(errors="replace").splitlines()[-lines:])
