"""Spans of activity from the event log, for users whose own spans are too coarse for a new policy."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from services.segmenter.domain.spans import Logged, Span

# An event lies at most a day after its receipt, by which the log is kept: what happened later than this
# after the horizon is in it.
AHEAD = timedelta(days=1)

LOGGED = """
SELECT user_id,
       array_agg("timestamp" ORDER BY "timestamp") FILTER (WHERE begins) AS starts,
       array_agg("timestamp" ORDER BY "timestamp") FILTER (WHERE ends) AS ends,
       (SELECT held_since FROM log_horizon) AS held_since
FROM (
    SELECT user_id, "timestamp",
           COALESCE("timestamp" - lag("timestamp") OVER of_user >= $2, true) AS begins,
           COALESCE(lead("timestamp") OVER of_user - "timestamp" >= $2, true) AS ends
    FROM events WHERE user_id = ANY ($1::text[]) AND active
    WINDOW of_user AS (PARTITION BY user_id ORDER BY "timestamp")
) AS activity
GROUP BY user_id
"""


def logged_of(row: Mapping[str, Any]) -> Logged:
    held_since: datetime | None = row["held_since"]
    return Logged(
        tuple(Span(*pair) for pair in zip(row["starts"], row["ends"], strict=True)),
        None if held_since is None else held_since + AHEAD,
    )
