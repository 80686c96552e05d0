"""Let background jobs go that ended long ago and that nothing refers to any more."""

from datetime import datetime, timedelta
from typing import Protocol

# Few ever end in a minute; a table that was let grow for years goes in some hours, and holds nobody up.
AT_ONCE = 500


class EndedJobs(Protocol):
    """Jobs that have ended. Every method may raise StoreUnavailable."""

    async def forget(self, before: datetime, *, limit: int) -> int:
        """Delete the oldest of those that ended before an instant; return how many.

        What something still refers to stays.
        """
        ...


async def forget_jobs(jobs: EndedJobs, *, now: datetime, keep_for: timedelta | None) -> int:
    """Delete some of the jobs that ended longer ago than `keep_for` (None: none); return how many."""
    if keep_for is None:
        return 0
    try:
        before = now - keep_for
    except OverflowError:  # longer ago than there is time
        return 0
    return await jobs.forget(before, limit=AT_ONCE)
