"""How many records a lane takes at once: as many as it folds in good time. Pure.

A transaction that takes long holds its locks that long, keeps the process's other lanes waiting in the
middle of theirs, and in the end is cut off by the server. What a batch costs depends on what is in it: a
thousand events out of order take longer than ten thousand in order.
"""

# Well below the two seconds after which the server ends a transaction in which nobody speaks.
SLOW_S = 1.0
FAST_S = 0.5
FIRST = 1_000
# A turn of so few may be slow for what else it did: it swept deadlines, or waited for another lane's rows. If the
# records are to blame after all, a turn of them fails, and less is taken then.
FEW = 50


class Pace:
    """The limit of one lane. It begins low, doubles while batches are fast, and falls as soon as one is slow."""

    def __init__(self, most: int) -> None:
        self._most = most
        self.limit = min(FIRST, most)

    def note_turn(self, records: int, *, seconds: float) -> None:
        """Learn from a turn that was committed."""
        if seconds > SLOW_S:
            if records > FEW:
                self.limit = min(self.limit, max(FEW, int(records * FAST_S / seconds)))
        elif seconds < FAST_S and records >= self.limit // 2:
            self.limit = min(self._most, self.limit * 2)

    def note_trouble(self) -> None:
        """Take less at once: the batch may have been too much for the limits."""
        self.limit = max(1, self.limit // 2)
