"""Which reader a file needs, and the digest by which it is known again."""

import hashlib
from pathlib import Path

from deploy.cli.exits import Failed
from deploy.cli.importing.csv_rows import CsvRows
from deploy.cli.importing.ndjson_rows import NdjsonRows
from deploy.cli.importing.parquet_rows import ParquetRows
from deploy.cli.importing.rows import Rows

FORMATS = {
    ".csv": "csv",
    ".tsv": "tsv",
    ".ndjson": "ndjson",
    ".jsonl": "ndjson",
    ".parquet": "parquet",
}
KNOWN = ("csv", "tsv", "ndjson", "parquet")


def open_rows(path: Path, *, file_format: str | None, delimiter: str | None) -> Rows:
    """Open a file of history. Raises Failed."""
    kind = file_format or _format_of(path)
    try:
        if kind == "parquet":
            return ParquetRows(path)
        if kind == "ndjson":
            return NdjsonRows(path)
        return CsvRows(path, delimiter=delimiter or ("\t" if kind == "tsv" else ","))
    except OSError as error:
        raise Failed(f"{path} can't be read: {error.strerror or error}") from None


def digest_of(path: Path) -> str:
    """Return the digest of all its bytes. Raises Failed."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "blake2b").hexdigest()[:32]
    except OSError as error:
        raise Failed(f"{path} can't be read: {error.strerror or error}") from None


def _format_of(path: Path) -> str:
    suffixes = [each.lower() for each in path.suffixes]
    if suffixes[-1:] == [".gz"]:
        suffixes.pop()
    found = FORMATS.get(suffixes[-1] if suffixes else "")
    if found is None:
        raise Failed(
            f"{path}: its name does not end as that of a CSV, NDJSON or Parquet file; "
            f"say which it is by --format {'|'.join(KNOWN)}"
        )
    return found
