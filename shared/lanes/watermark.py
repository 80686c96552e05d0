"""Up to which instant everything that was received for a partition is folded. Pure.

During a backlog it follows the receipt of the newest record folded: what waits in the log came
later. Where the partition is caught up it follows the moment at which the broker was asked for the
log's end. Either way it stays a margin behind, for requests that had a receipt by then and were not
in the log yet; where product time stands still, many have the very same receipt.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

# Requests in flight: stamped with their receipt, not yet appended.
IN_FLIGHT = timedelta(milliseconds=250)


@dataclass(frozen=True, slots=True)
class EndAnswer:
    """What the broker said the log's end is; and product time, and where the lane was, noted before it was asked.

    Now and then it was asked, too, which making of the topic this is (None: not asked, or not known).
    """

    asked_at: datetime
    end: int
    incarnation: str | None = None
    position: int = 0


def watermark_after(
    before: datetime | None,
    *,
    newest_ms: int | None,
    position: int,
    answer: EndAnswer | None,
    now: datetime,
) -> datetime | None:
    """Return the watermark once everything below `position` is folded. It never falls.

    `newest_ms` is the largest timestamp among the records folded now (None: no record).
    """
    candidates: list[datetime] = []
    if newest_ms is not None:
        candidates.append(min(instant_of(newest_ms), now))
    if answer is not None and answer.end <= position:
        candidates.append(min(answer.asked_at, now))
    if not candidates:
        return before
    reached = max(*candidates, _FIRST + IN_FLIGHT) - IN_FLIGHT
    return reached if before is None else max(before, reached)


def instant_of(timestamp_ms: int) -> datetime:
    """Return the instant of a record's timestamp, kept within what a datetime can hold."""
    try:
        return _EPOCH + timedelta(milliseconds=timestamp_ms)
    except OverflowError:
        return _LAST if timestamp_ms > 0 else _FIRST


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_FIRST = datetime.min.replace(tzinfo=UTC)
_LAST = datetime.max.replace(tzinfo=UTC)
