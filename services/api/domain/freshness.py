"""How old the numbers are: from the partitions' progress and the time now. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Progress:
    """How far one partition is folded: its watermark, the next offset and the log's end, where known."""

    watermark: datetime | None
    next_offset: int
    end_offset: int | None


@dataclass(frozen=True, slots=True)
class Freshness:
    """`as_of`: everything received by then is in the numbers. None: not known for some partition."""

    as_of: datetime | None
    lag_seconds: float | None
    lag_events: int


def freshness(partitions: Sequence[Progress], now: datetime) -> Freshness:
    """Return the age of the oldest partition: numbers over all users are as old as that.

    The watermark of a partition that nobody folds stands still, so its lag grows as it should.
    """
    waiting = sum(
        max(0, each.end_offset - each.next_offset)
        for each in partitions
        if each.end_offset is not None
    )
    watermarks = [each.watermark for each in partitions if each.watermark is not None]
    if not partitions or len(watermarks) < len(partitions):
        return Freshness(None, None, waiting)
    as_of = min(watermarks)
    return Freshness(as_of, max(0.0, (now - as_of).total_seconds()), waiting)
