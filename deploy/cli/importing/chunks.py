"""Consecutive rows as one piece of work: sent together, and together done."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from deploy.cli.importing.judging import Event, Rejected
from deploy.cli.importing.rows import Place

# Well below the 4 MiB that ingest takes in one request.
MOST_BYTES = 2 * 1024 * 1024


@dataclass(slots=True)
class Chunk:
    """Rows that follow each other. `end` is where the row after them begins."""

    end: Place
    events: list[Event] = field(default_factory=list)
    rejected: list[Rejected] = field(default_factory=list)
    size: int = 0

    @property
    def rows(self) -> int:
        return len(self.events) + len(self.rejected)


def in_chunks(judged: Iterable[Event | Rejected], *, most: int) -> Iterator[Chunk]:
    """Yield all rows in their order, at most so many together, and no more bytes than fit."""
    chunk: Chunk | None = None
    for each in judged:
        size = len(each.raw or b"") + (len(each.body) if isinstance(each, Event) else 0)
        if chunk is not None and (chunk.rows >= most or chunk.size + size > MOST_BYTES):
            yield chunk
            chunk = None
        if chunk is None:
            chunk = Chunk(each.end)
        chunk.end = each.end
        chunk.size += size
        if isinstance(each, Event):
            chunk.events.append(each)
        else:
            chunk.rejected.append(each)
    if chunk is not None:
        yield chunk
