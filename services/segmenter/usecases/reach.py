"""How far time may pass for a user: no further than all partitions are folded by which their events may come."""

from collections.abc import Awaitable, Callable, Iterable, Mapping
from datetime import datetime

from services.segmenter.usecases.write_history import Occasion

# Says of every partition of the topic, by its number, up to when it is folded; None: it has not begun.
FoldedUntil = Callable[[], Awaitable[Mapping[int, datetime | None]]]


def reach_of(
    part: int,
    also_parts: Iterable[int],
    folded_until: Mapping[int, datetime | None],
    occasion: Occasion,
) -> datetime | None:
    """Return up to when time may pass; None: not at all. The lane's own partition is as far as its batch."""
    until = None
    for each in {part, *also_parts}:
        if each == occasion.part:
            folded = occasion.watermark
        elif each in folded_until:
            folded = folded_until[each]
        else:
            continue  # no partition of this topic: nothing comes by it
        if folded is None:
            return None
        until = folded if until is None else min(until, folded)
    return until
