"""Rows of a CSV file. A broken one spares its neighbours, also where it opens a quote for good."""

import csv
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from deploy.cli.exits import Failed
from deploy.cli.importing.lines import Line, Lines
from deploy.cli.importing.rows import LONGEST_ROW, Broken, Found, Place, Row

MOST_LINES = 1_000  # of one row
NOT_UTF8 = "is not UTF-8"


class _Unreadable(Exception):
    """The text is no row: code and reason."""

    def __init__(self, code: str, reason: str) -> None:
        super().__init__(code, reason)
        self.code, self.reason = code, reason


class _Unclosed(_Unreadable):
    def __init__(self) -> None:
        super().__init__("unclosed_quote", "opens a quote and does not close it")


class CsvRows:
    """Keeps the protocol `Rows`. The first line names the columns."""

    all_known = True

    def __init__(self, path: Path, *, delimiter: str) -> None:
        self._delimiter = delimiter
        self._lines = Lines(path)
        with self._lines.closed_if_it_fails():
            self.columns: Sequence[str] = self._header(path)

    def read(self, begin: Place | None) -> Iterator[Found]:
        if begin is not None:
            self._lines.go_to(begin)
        for line in self._lines:
            if line.raw:
                yield self._row(line)

    def part_read(self) -> float:
        return self._lines.part_read()

    def close(self) -> None:
        self._lines.close()

    def _header(self, path: Path) -> Sequence[str]:
        line = self._lines.take()
        if line is None:
            raise Failed(f"{path} is empty: its first line must name the columns")
        try:
            names = [name.strip() for name in self._cells(line.raw)]
        except _Unreadable as broken:
            raise Failed(
                f"{path}: its first line, which names the columns, {broken.reason}"
            ) from None
        twice = sorted({name for name in names if name and names.count(name) > 1})
        if twice:
            raise Failed(f"{path} has two columns of the name {twice[0]!r}")
        if not any(names):
            raise Failed(f"{path}: its first line must name the columns, and is blank")
        return names

    def _row(self, first: Line) -> Found:
        """Return the row that begins with a line; it takes further lines only where that helps."""
        if first.cut:
            reason = f"is longer than {LONGEST_ROW} bytes"
            return Broken(first.number, "row_too_large", reason, first.raw, first.end)
        try:
            return Row(first.number, self._values(first.raw), first.raw, first.end)
        except _Unclosed as broken:
            return self._longer_row(first) or _broken(first, broken)
        except _Unreadable as broken:
            return _broken(first, broken)

    def _longer_row(self, first: Line) -> Row | None:
        """Return the row of several lines that begins here; None, with nothing taken, if none does."""
        taken: list[Line] = []
        length = len(first.raw)
        while (line := self._lines.take()) is not None:
            taken.append(line)
            length += len(line.raw) + 1
            if line.cut or length > LONGEST_ROW or len(taken) >= MOST_LINES:
                break
            if b'"' not in line.raw:
                continue
            raw = b"\n".join([first.raw, *(each.raw for each in taken)])
            try:
                return Row(first.number, self._values(raw), raw, line.end)
            except _Unclosed:
                continue
            except _Unreadable:
                break
        self._lines.put_back(taken)
        return None

    def _values(self, raw: bytes) -> Mapping[str, str]:
        cells = self._cells(raw)
        if len(cells) != len(self.columns):
            reason = f"has {len(cells)} columns; the first line names {len(self.columns)}"
            raise _Unreadable("wrong_column_count", reason)
        return dict(zip(self.columns, cells, strict=True))

    def _cells(self, raw: bytes) -> list[str]:
        try:
            text = raw.decode()
        except UnicodeDecodeError as error:
            raise _Unreadable("not_utf8", f"{NOT_UTF8} (byte {error.start + 1})") from None
        try:
            return next(csv.reader([text], delimiter=self._delimiter, strict=True), [])
        except csv.Error as error:
            if "unexpected end" in str(error):
                raise _Unclosed from None
            raise _Unreadable("invalid_csv", f"is no CSV: {error}") from None


def _broken(line: Line, why: _Unreadable) -> Broken:
    return Broken(line.number, why.code, why.reason, line.raw, line.end)
