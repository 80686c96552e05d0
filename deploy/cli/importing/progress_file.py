"""How far a file has been imported, kept so that a killed import goes on where it was."""

import fcntl
import hashlib
import json
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from deploy.cli.exits import Failed
from deploy.cli.importing.rows import Place


@dataclass(frozen=True, slots=True)
class Progress:
    """Everything before the place is acknowledged by ingest, or stands among the rejects."""

    offset: int = 0
    line: int = 0  # 0: nothing yet
    accepted: int = 0
    rejected: int = 0
    rejects_bytes: int = 0
    finished: bool = False

    @property
    def place(self) -> Place | None:
        return Place(self.offset, self.line) if self.line else None

    @property
    def rows(self) -> int:
        return self.accepted + self.rejected

    def after(self, place: Place, *, accepted: int, rejected: int) -> "Progress":
        return replace(
            self,
            offset=place.offset,
            line=place.line,
            accepted=self.accepted + accepted,
            rejected=self.rejected + rejected,
        )

    def at_the_end(self) -> "Progress":
        return replace(self, finished=True)


@dataclass(frozen=True, slots=True)
class Work:
    """What is imported, how and where to: with another of these it is another import."""

    file: str
    digest: str
    mapping: str  # all that decides what a row becomes
    url: str
    key: str  # the write key's digest, for it decides whose events they are
    rejects: str


def fingerprint(key: str) -> str:
    """Return what a key is known by, and can't be had back from."""
    return hashlib.blake2b(key.encode(), digest_size=8, person=b"ebbtide import").hexdigest()


class ProgressFile:
    """Keeps the progress of one piece of work, under a name made of digest, mapping, address and key."""

    def __init__(self, directory: Path, work: Work) -> None:
        self._work = work
        words = json.dumps([work.digest, work.mapping, work.url, work.key]).encode()
        name = hashlib.blake2b(words, digest_size=12).hexdigest()
        self._path = directory / f"{name}.json"
        self._lock: int | None = None

    def hold(self) -> None:
        """Keep other imports of the same away until `close`. Raises Failed."""
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._lock = os.open(self._path.with_suffix(".lock"), os.O_RDWR | os.O_CREAT, 0o600)
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self.close()
            raise Failed(f"{self._work.file} is being imported by another process") from None
        except OSError as error:
            raise Failed(
                f"{self._path.parent} can't be written: {error.strerror}; "
                "name another directory by --state-dir"
            ) from None

    def close(self) -> None:
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def load(self) -> Progress:
        """Return how far it got; nothing yet where it never began. Raises Failed."""
        kept = _read(self._path)
        if kept is None:
            self._refuse_changed_file()
            return Progress()
        work, progress = kept
        # Where the rejects go to another file now, nothing of that one is kept.
        return (
            progress if work.rejects == self._work.rejects else replace(progress, rejects_bytes=0)
        )

    def forget(self) -> None:
        """Forget this work, and the same with what the file held before."""
        self._path.unlink(missing_ok=True)
        for path, _ in self._before_the_change():
            path.unlink(missing_ok=True)

    def save(self, progress: Progress) -> None:
        """Replace what was kept, at once."""
        draft = self._path.with_suffix(f".{os.getpid()}")
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as file:
            json.dump({"work": asdict(self._work), "progress": asdict(progress)}, file, indent=2)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(self._path)

    def _refuse_changed_file(self) -> None:
        for _, progress in self._before_the_change():
            raise Failed(
                f"{self._work.file} has changed since {progress.rows:,} rows of it were imported; "
                "--restart imports it from its beginning"
            )

    def _before_the_change(self) -> Iterator[tuple[Path, Progress]]:
        mine = self._work
        for path in sorted(self._path.parent.glob("*.json")):
            kept = _read(path)
            if kept is None or path == self._path:
                continue
            work, progress = kept
            if replace(work, digest=mine.digest, rejects=mine.rejects) == mine:
                yield path, progress


def _read(path: Path) -> tuple[Work, Progress] | None:
    """Return what a file keeps, None where there is none. Raises Failed."""
    try:
        kept: dict[str, Any] = json.loads(path.read_text())
        return Work(**kept["work"]), Progress(**kept["progress"])
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise Failed(f"{path} can't be read ({error}): delete it to begin anew") from None
