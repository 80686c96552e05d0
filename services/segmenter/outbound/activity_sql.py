"""Spans of activity from the event log, for users whose own spans are too coarse for a new policy."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from services.segmenter.domain.spans import Logged, Span

# An event lies at most a day after its receipt, by which the log is kept: what happened later than this
# after the horizon is in it.
AHEAD = timedelta(days=1)

# What was done under ids that became a user's is theirs. Within a piece of time as long as the grain there is no
# silence: only how each begins and ends is put in order, for a user may have millions of events.
LOGGED = """
WITH ids AS (
    SELECT user_id AS logged_as, user_id FROM unnest($1::text[]) AS given (user_id)
    UNION ALL
    SELECT user_id, merged_into FROM users WHERE merged_into = ANY ($1::text[]) AND merged_into > ''
), pieces_of_ids AS (
    SELECT user_id AS logged_as, date_bin($2, "timestamp", 'epoch') AS piece,
           min("timestamp") AS low, max("timestamp") AS high
    FROM events WHERE user_id = ANY (ARRAY(SELECT logged_as FROM ids)) AND active
    GROUP BY user_id, piece
), pieces AS (
    SELECT ids.user_id, min(low) AS low, max(high) AS high
    FROM pieces_of_ids JOIN ids USING (logged_as) GROUP BY ids.user_id, piece
)
SELECT user_id,
       array_agg(low ORDER BY low) FILTER (WHERE begins) AS starts,
       array_agg(high ORDER BY high) FILTER (WHERE ends) AS ends,
       (SELECT held_since FROM log_horizon) AS held_since
FROM (
    SELECT user_id, low, high,
           COALESCE(low - lag(high) OVER of_user >= $2, true) AS begins,
           COALESCE(lead(low) OVER of_user - high >= $2, true) AS ends
    FROM pieces WINDOW of_user AS (PARTITION BY user_id ORDER BY low)
) AS activity
GROUP BY user_id
"""


def logged_of(row: Mapping[str, Any]) -> Logged:
    held_since: datetime | None = row["held_since"]
    return Logged(
        tuple(Span(*pair) for pair in zip(row["starts"], row["ends"], strict=True)),
        None if held_since is None else held_since + AHEAD,
    )
