"""Rows of a file with one JSON object per line."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec

from deploy.cli.importing.csv_rows import NOT_UTF8
from deploy.cli.importing.lines import Line, Lines
from deploy.cli.importing.rows import LONGEST_ROW, Broken, Found, Place, Row

# The names of the first rows stand for those of the whole file.
SAMPLE_ROWS = 1_000
SAMPLE_BYTES = 4 * 1024 * 1024

_decoder = msgspec.json.Decoder()


class NdjsonRows:
    """Keeps the protocol `Rows`."""

    all_known = False

    def __init__(self, path: Path) -> None:
        self._lines = Lines(path)
        with self._lines.closed_if_it_fails():
            self.columns: Sequence[str] = self._sampled_names()

    def read(self, begin: Place | None) -> Iterator[Found]:
        if begin is not None:
            self._lines.go_to(begin)
        for line in self._lines:
            if line.raw.strip():
                yield _row(line)

    def part_read(self) -> float:
        return self._lines.part_read()

    def close(self) -> None:
        self._lines.close()

    def _sampled_names(self) -> Sequence[str]:
        names: dict[str, None] = {}
        taken: list[Line] = []
        length = 0
        for line in self._lines:
            taken.append(line)
            row = _row(line)
            names |= dict.fromkeys(row.values if isinstance(row, Row) else ())
            length += len(line.raw)
            if len(taken) >= SAMPLE_ROWS or length >= SAMPLE_BYTES:
                break
        self._lines.put_back(taken)
        return list(names)


def _row(line: Line) -> Found:
    if line.cut:
        reason = f"is longer than {LONGEST_ROW} bytes"
        return Broken(line.number, "row_too_large", reason, line.raw, line.end)
    try:
        values: Any = _decoder.decode(line.raw)
    except UnicodeDecodeError:
        return Broken(line.number, "not_utf8", NOT_UTF8, line.raw, line.end)
    except (msgspec.DecodeError, RecursionError) as error:
        return _undecodable(line, error)
    if not isinstance(values, dict):
        return Broken(line.number, "no_object", "is JSON, but no object", line.raw, line.end)
    return Row(line.number, values, line.raw, line.end)


def _undecodable(line: Line, error: Exception) -> Broken:
    try:
        line.raw.decode()
    except UnicodeDecodeError as wrong:
        reason = f"{NOT_UTF8} (byte {wrong.start + 1})"
        return Broken(line.number, "not_utf8", reason, line.raw, line.end)
    return Broken(line.number, "invalid_json", f"is no JSON: {error}", line.raw, line.end)
