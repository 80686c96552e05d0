"""Rows of a Parquet file. The library is large and many need it not: it is loaded here only."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from deploy.cli.exits import Failed
from deploy.cli.importing.csv_rows import NOT_UTF8
from deploy.cli.importing.rows import Broken, Found, Place, Row, Unreadable

BATCH = 1_000
LOCK = "deploy/requirements/cli-parquet.txt"


class ParquetRows:
    """Keeps the protocol `Rows`. A row has no line: its number stands for it."""

    all_known = True

    def __init__(self, path: Path) -> None:
        try:
            import pyarrow as pa  # noqa: PLC0415
            from pyarrow import parquet  # noqa: PLC0415
        except ImportError:
            words = f".venv/bin/python -m pip install --require-hashes -r {LOCK}"
            raise Failed(f"{path} is Parquet, for which pyarrow is needed: {words}") from None
        self._path = path
        self._pa = pa
        try:
            self._file = parquet.ParquetFile(path)
        except (pa.ArrowException, OSError) as error:
            raise Failed(f"{path} is no Parquet file that can be read: {error}") from None
        self.columns: Sequence[str] = list(self._file.schema_arrow.names)
        self._total: int = self._file.metadata.num_rows
        self._read = 0

    def read(self, begin: Place | None) -> Iterator[Found]:
        number = 0 if begin is None else begin.offset
        groups, skip = self._groups_from(number)
        try:
            for batch in self._file.iter_batches(batch_size=BATCH, row_groups=groups):
                for row in self._of_batch(batch.slice(min(skip, len(batch))), number):
                    number += 1
                    self._read = number
                    yield row
                skip = max(0, skip - len(batch))
        except (self._pa.ArrowException, OSError) as error:
            raise Unreadable(f"{self._path} can't be read beyond row {number}: {error}") from error

    def part_read(self) -> float:
        return self._read / max(1, self._total)

    def close(self) -> None:
        self._file.close()

    def _groups_from(self, row: int) -> tuple[list[int], int]:
        """Return the row groups that hold this row and all later ones, and how many come before it."""
        first = 0
        while first < self._file.num_row_groups:
            rows = self._file.metadata.row_group(first).num_rows
            if row < rows:
                break
            row -= rows
            first += 1
        return list(range(first, self._file.num_row_groups)), row

    def _of_batch(self, batch: Any, number: int) -> Iterator[Found]:
        batch = self._without_nanoseconds(batch)
        try:
            found: Sequence[Mapping[str, Any] | None] = batch.to_pylist()
        except UnicodeDecodeError:
            found = [self._one(batch.slice(index, 1)) for index in range(len(batch))]
        for line, values in enumerate(found, number + 1):
            end = Place(line, line + 1)
            if values is None:
                yield Broken(line, "not_utf8", NOT_UTF8, None, end)
            else:
                yield Row(line, values, None, end)

    def _one(self, batch: Any) -> Mapping[str, Any] | None:
        try:
            row: Mapping[str, Any] = batch.to_pylist()[0]
        except UnicodeDecodeError:
            return None
        return row

    def _without_nanoseconds(self, batch: Any) -> Any:
        """Python's times have microseconds, and what is finer is no reason to refuse a row."""
        pa = self._pa
        for index, field in enumerate(batch.schema):
            if pa.types.is_timestamp(field.type) and field.type.unit == "ns":
                coarse = pa.timestamp("us", tz=field.type.tz)
                column = batch.column(index).cast(coarse, safe=False)
                batch = batch.set_column(index, pa.field(field.name, coarse), column)
        return batch
