"""Events that are older than the event log: nobody can tell any more whether they are repeats. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from services.segmenter.usecases.fold_events import DUPLICATE_WINDOW
from services.segmenter.usecases.ports import Folding
from shared.kafka.records import Record
from shared.lanes.work import Refused


@dataclass(frozen=True, slots=True)
class Judged:
    """The events that can be folded once, and the records of those that can't."""

    kept: Sequence[Folding]
    refused: Sequence[Refused] = ()


def judge_age(
    events: Sequence[Folding], records: Sequence[Record], *, horizon: datetime | None
) -> Judged:
    """Refuse the events whose repeats the log may have held and dropped.

    The log holds all that came since `horizon` (None: all that ever came). An event is looked up in what
    came within the duplicate window before it, so all of that window must be there.
    """
    if horizon is None or not events:
        return Judged(events)
    earliest = horizon + DUPLICATE_WINDOW
    if min(each.event.received_at for each in events) >= earliest:
        return Judged(events)
    too_old = {each.offset for each in events if each.event.received_at < earliest}
    why = (
        f"lies before {earliest:%Y-%m-%d}: the event log holds what came from {horizon:%Y-%m-%d} on, "
        f"too little to tell whether this is a repeat"
    )
    return Judged(
        [each for each in events if each.offset not in too_old],
        [
            Refused(record, "older_than_log", "received_at", why)
            for record in records
            if record.offset in too_old
        ],
    )
