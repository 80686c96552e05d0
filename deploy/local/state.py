"""The state directory: what is kept between runs, and what tells others where things are."""

import fcntl
import json
import os
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TextIO

from deploy.local.errors import AlreadyRunning, LocalError
from deploy.local.keys import Keys, new_keys

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True, slots=True)
class RunInfo:
    """`run.json`: where everything is while it runs. Its fields are relied on by scripts."""

    ingest_url: str
    api_url: str
    segmenter_url: str
    alerts_url: str
    write_key: str
    api_key: str
    source: str
    postgres_dsn: str
    kafka_bootstrap: str
    clock_file: str
    state_dir: str
    pids: dict[str, int] = field(default_factory=dict)


class State:
    """Names of what lies in the state directory, and how the small files are read and written."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory.absolute()
        self.logs = self.directory / "logs"
        self.clock_file = self.directory / "clock.json"
        self.postgres = self.directory / "postgres"
        self.kafka = self.directory / "kafka"
        self.imports = self.directory / "import"  # how far each got into the data that lie here
        self.cdnow = self.directory / "cdnow"  # the state directory of that demo's own system
        self._run_file = self.directory / "run.json"
        self._keys_file = self.directory / "secrets.json"
        self._lock_file = self.directory / "supervisor.lock"

    def prepare(self) -> None:
        """Make the directories. Others may pass through the outermost: Postgres runs as nobody."""
        self.directory.mkdir(parents=True, exist_ok=True)
        self.directory.chmod(0o711)
        self.logs.mkdir(mode=0o700, exist_ok=True)
        self.kafka.mkdir(mode=0o700, exist_ok=True)

    def log(self, name: str) -> Path:
        return self.logs / f"{name}.log"

    def put_logs_aside(self) -> None:
        """Keep the logs of the run before this one as `.log.1`, so that this one's start empty."""
        for log in self.logs.glob("*.log"):
            if log.stem != "supervisor":
                log.replace(log.with_suffix(".log.1"))

    def has_data(self) -> bool:
        """Say whether anything ever ran from here."""
        return _holds_anything(self.postgres) or _holds_anything(self.kafka)

    def keys(self) -> Keys:
        """Return the generated secrets; the first call makes them.

        Raises LocalError when they are gone and the data that need them are not.
        """
        if self._keys_file.exists():
            return Keys(**json.loads(self._keys_file.read_text()))
        if _holds_anything(self.postgres):
            raise LocalError(
                f"{self._keys_file} is gone, and the data can't be opened without it:"
                " put it back, or delete the data with `make down`"
            )
        made = new_keys()
        write_private(self._keys_file, asdict(made))
        return made

    def write_run(self, info: RunInfo) -> None:
        write_private(self._run_file, asdict(info))

    def published(self) -> bool:
        return self._run_file.exists()

    def read_run(self) -> RunInfo | None:
        """Return what the running supervisor wrote; None when nothing runs, or not yet."""
        if self.holder() is None or not self._run_file.exists():
            return None
        return RunInfo(**json.loads(self._run_file.read_text()))

    def forget_run(self) -> None:
        self._run_file.unlink(missing_ok=True)

    def remove(self) -> None:
        """Delete what `make run` keeps here, and nothing else that may lie beside it."""
        for part in (self.postgres, self.kafka, self.logs, self.imports):
            if part.exists():
                shutil.rmtree(part)
        for file in (self.clock_file, self._run_file, self._keys_file):
            file.unlink(missing_ok=True)

    @contextmanager
    def held(self) -> Iterator[None]:
        """Hold the directory: the kernel lets go of it when this process ends, however it ends.

        Raises AlreadyRunning.
        """
        with self._lock_file.open("a+") as lock:
            if not _lock_soon(lock):
                raise AlreadyRunning(f"Ebbtide runs already from {self.directory}")
            lock.truncate(0)
            lock.write(str(os.getpid()))
            lock.flush()
            self.forget_run()  # of a run that was killed
            try:
                yield
            finally:
                self.forget_run()

    def holder(self) -> int | None:
        """Return the process id of the supervisor that holds the directory, if one does."""
        if not self._lock_file.exists():
            return None
        with self._lock_file.open("r+") as lock:
            if _try_lock(lock):
                return None
            return int(lock.read() or 0) or None


def _holds_anything(directory: Path) -> bool:
    return directory.exists() and any(directory.iterdir())


def state_directory(environ: Mapping[str, str] = os.environ) -> Path:
    """Return the directory that EBBTIDE_LOCAL_DIR names, else `.local` in this tree."""
    return Path(environ.get("EBBTIDE_LOCAL_DIR") or ROOT / ".local")


def write_private(path: Path, fields: Mapping[str, object]) -> None:
    """Replace a JSON file at once, readable by its owner only from the first moment."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        json.dump(fields, file, indent=2)
        file.write("\n")
    draft.replace(path)


def _lock_soon(lock: TextIO, *, attempts: int = 10) -> bool:
    """Lock within a second: whoever only asks for the holder has the lock for a moment."""
    for _ in range(attempts):
        if _try_lock(lock):
            return True
        time.sleep(0.1)
    return False


def _try_lock(lock: TextIO) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
