"""The lines of a text file, compressed or not, from any place, and none longer than a row may be."""

import gzip
import zlib
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path

from deploy.cli.exits import Failed
from deploy.cli.importing.rows import LONGEST_ROW, Place, Unreadable

_GZIP = b"\x1f\x8b"
_BOM = b"\xef\xbb\xbf"
_WIDE = (b"\xff\xfe", b"\xfe\xff")


@dataclass(frozen=True, slots=True)
class Line:
    """A line without its end. `cut`: it was longer than a row may be, and this is its beginning."""

    number: int
    raw: bytes
    cut: bool
    end: Place


class Lines:
    """Reads forward; lines that were taken too early can be put back."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = path.open("rb")
        self._size = max(1, path.stat().st_size)
        compressed = self._file.read(2) == _GZIP
        self._file.seek(0)
        self._text: gzip.GzipFile | BufferedReader = (
            gzip.GzipFile(fileobj=self._file) if compressed else self._file
        )
        self._returned: deque[Line] = deque()
        self._place = Place(0, 1)
        with self.closed_if_it_fails():
            self._skip_mark()

    @contextmanager
    def closed_if_it_fails(self) -> Iterator[None]:
        try:
            yield
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        self._text.close()
        self._file.close()

    def part_read(self) -> float:
        return min(1.0, self._file.tell() / self._size)

    def go_to(self, place: Place) -> None:
        """Go on from a place at which a line ended."""
        self._returned.clear()
        self._guarded_seek(place.offset)
        self._place = place

    def take(self) -> Line | None:
        """Return the next line, None at the end. Raises Unreadable."""
        if self._returned:
            return self._returned.popleft()
        raw = self._read(LONGEST_ROW)
        if not raw:
            return None
        length, cut = len(raw), not raw.endswith(b"\n") and len(raw) == LONGEST_ROW
        if cut:
            length += self._skip_rest()
        number = self._place.line
        self._place = Place(self._place.offset + length, number + 1)
        return Line(number, raw.rstrip(b"\r\n"), cut, self._place)

    def put_back(self, lines: Iterable[Line]) -> None:
        self._returned.extendleft(reversed(list(lines)))

    def __iter__(self) -> Iterator[Line]:
        while (line := self.take()) is not None:
            yield line

    def _skip_mark(self) -> None:
        mark = self._read(3)
        if mark.startswith(_WIDE):
            raise Failed(f"{self._path} is UTF-16: only UTF-8 is read (iconv -f UTF-16 -t UTF-8)")
        begin = len(_BOM) if mark == _BOM else 0
        self._guarded_seek(begin)
        self._place = Place(begin, 1)

    def _skip_rest(self) -> int:
        skipped = 0
        while piece := self._read(LONGEST_ROW):
            skipped += len(piece)
            if piece.endswith(b"\n"):
                break
        return skipped

    def _read(self, most: int) -> bytes:
        try:
            return self._text.readline(most)
        except (OSError, EOFError, zlib.error) as error:
            raise Unreadable(
                f"{self._path} can't be read beyond line {self._place.line}: {error}"
            ) from error

    def _guarded_seek(self, offset: int) -> None:
        try:
            self._text.seek(offset)
        except (OSError, EOFError, zlib.error) as error:
            raise Unreadable(f"{self._path} can't be read: {error}") from error
