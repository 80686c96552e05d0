"""The file of rows that were not imported: one JSON object each, in the order of their lines."""

import os
from collections.abc import Iterable
from pathlib import Path
from typing import IO

import msgspec

from deploy.cli.exits import Failed
from deploy.cli.importing.judging import Rejected

LONGEST_SHOWN = 32 * 1024
SUFFIX = ".rejected.ndjson"
_BEGIN = b'{"file":'


class RejectsFile:
    """Written to behind what an earlier run is known to have written; gone if nothing is in it."""

    def __init__(self, path: Path, source: Path, *, kept: int) -> None:
        """`kept` bytes stay: what lies behind them was written by a run that did not get to say so."""
        self.path = path
        self._source = source
        try:
            _refuse_other_contents(path)
            self._file: IO[bytes] = path.open("r+b" if path.exists() else "w+b")
            self._file.truncate(min(kept, self._file.seek(0, os.SEEK_END)))
            self._file.seek(0, os.SEEK_END)
        except OSError as error:
            raise Failed(
                f"{path} can't be written: {error.strerror}; name another by --rejects"
            ) from None

    def add(self, rejected: Iterable[Rejected]) -> None:
        for each in rejected:
            self._file.write(reject_line(each, self._source))

    def save(self) -> int:
        """Return how long it is, once all of it is on the disk."""
        self._file.flush()
        os.fsync(self._file.fileno())
        return self._file.tell()

    def close(self) -> None:
        length = self._file.seek(0, os.SEEK_END)
        self._file.close()
        if length == 0:
            self.path.unlink(missing_ok=True)


def _refuse_other_contents(path: Path) -> None:
    """A slip of the pen must not cost a file that is none of rejects."""
    if path.exists():
        with path.open("rb") as file:
            begin = file.read(len(_BEGIN))
        if begin not in (b"", _BEGIN):
            raise Failed(f"{path} exists, and is no file of rejects: name another by --rejects")


def reject_line(rejected: Rejected, source: Path) -> bytes:
    raw = rejected.raw
    row = None if raw is None else raw[:LONGEST_SHOWN].decode(errors="backslashreplace")
    return (
        msgspec.json.encode(
            {
                "file": str(source),
                "line": rejected.line,
                "code": rejected.code,
                "reason": rejected.reason,
                "row": row,
            }
        )
        + b"\n"
    )
