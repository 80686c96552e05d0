"""Where a user stands, straight from the words of the definition; shares nothing with the services.

`churned` if silent for 30 days or more, else `silent` if for 7, else `returned` for 7 days after the
first activity that ended a gap of 30 days or more, else `new` for 7 days after the first activity,
else `active`.
"""

from bisect import bisect_right
from collections.abc import Sequence
from datetime import datetime, timedelta

WEEK = timedelta(days=7)
MONTH = timedelta(days=30)


def lifecycle(activity: Sequence[datetime], now: datetime) -> str | None:
    """Return the lifecycle at `now`; `activity` is sorted, and may reach beyond `now`."""
    done = activity[: bisect_right(activity, now)]
    if not done:
        return None
    silence = now - done[-1]
    if silence >= MONTH:
        return "churned"
    if silence >= WEEK:
        return "silent"
    returns = [done[i] for i in range(1, len(done)) if done[i] - done[i - 1] >= MONTH]
    if returns and now - returns[-1] < WEEK:
        return "returned"
    return "new" if now - done[0] < WEEK else "active"


def history(activity: Sequence[datetime], now: datetime) -> list[tuple[datetime, str]]:
    """Return each change up to `now` with the lifecycle that it led to."""
    instants = {
        at + after for at in activity for after in (timedelta(), WEEK, MONTH) if at + after <= now
    }
    changes: list[tuple[datetime, str]] = []
    for at in sorted(instants):
        state = lifecycle(activity, at)
        if state is not None and (not changes or changes[-1][1] != state):
            changes.append((at, state))
    return changes
