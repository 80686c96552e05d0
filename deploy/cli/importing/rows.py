"""What a file of history is made of: rows that can be read, and broken ones."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from deploy.cli.exits import Failed


class Unreadable(Failed):
    """The file can't be read on from some place."""


# Far above what becomes an event: a line may hold much that no column is taken from.
LONGEST_ROW = 256 * 1024


@dataclass(frozen=True, slots=True)
class Place:
    """Between two rows: where the next one begins (in bytes; in Parquet, in rows), and its line."""

    offset: int
    line: int


@dataclass(frozen=True, slots=True)
class Row:
    """A row that can be read. `raw` is how it stood in the file, where that is text."""

    line: int
    values: Mapping[str, Any]
    raw: bytes | None
    end: Place


@dataclass(frozen=True, slots=True)
class Broken:
    """A row that can't be read, and why."""

    line: int
    code: str
    reason: str
    raw: bytes | None
    end: Place


Found = Row | Broken


class Rows(Protocol):
    """A file of history, open.

    `columns` are the names to take fields from. `all_known` is false where a row may have others,
    for then they are those of the first rows only.
    """

    columns: Sequence[str]
    all_known: bool

    def read(self, begin: Place | None) -> Iterator[Found]:
        """Yield the rows from a place on that was the `end` of one. Raises Unreadable."""
        ...

    def part_read(self) -> float:
        """Return how much of the file has been read, from 0 to 1."""
        ...

    def close(self) -> None: ...
