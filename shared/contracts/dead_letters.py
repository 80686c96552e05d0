"""What travels in the dead-letter topic: the original bytes, with why and where in the headers."""

from dataclasses import dataclass
from datetime import datetime

# Header names of a dead-letter record; every value is UTF-8 text. The record's key and value are
# the original ones; its timestamp is when it was refused.
HEADER_ID = "dead_letter_id"
HEADER_CODE = "code"
HEADER_FIELD = "field"
HEADER_REASON = "reason"
HEADER_ORIGIN = "origin"
HEADER_SOURCE = "source"
HEADER_TRUNCATED = "truncated"


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A refused input: what came, why it was refused, and where.

    `field` names the offending field in the client's own spelling (None: the input as a whole).
    `origin` says which step refused it (`ingest`, `segmenter`, `alerts`). `truncated` is true
    where only the first part of an oversized input was kept.
    """

    dead_letter_id: str
    code: str
    field: str | None
    reason: str
    origin: str
    refused_at: datetime
    value: bytes
    key: bytes | None = None
    source: str | None = None
    truncated: bool = False
