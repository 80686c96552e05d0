"""Spans of activity from the event log, for users whose own spans are too coarse for a new policy."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from services.segmenter.domain.spans import Logged, Span

# An event lies at most a day after its receipt, by which the log is kept: what happened later than this
# after the horizon is in it.
AHEAD = timedelta(days=1)

# What was done under ids that became a user's is theirs.
LOGGED = """
WITH ids AS (
    SELECT user_id AS logged_as, user_id FROM unnest($1::text[]) AS given (user_id)
    UNION ALL
    SELECT user_id, merged_into FROM users WHERE merged_into = ANY ($1::text[]) AND merged_into > ''
)
SELECT user_id,
       array_agg("timestamp" ORDER BY "timestamp") FILTER (WHERE begins) AS starts,
       array_agg("timestamp" ORDER BY "timestamp") FILTER (WHERE ends) AS ends,
       (SELECT held_since FROM log_horizon) AS held_since
FROM (
    SELECT ids.user_id, "timestamp",
           COALESCE("timestamp" - lag("timestamp") OVER of_user >= $2, true) AS begins,
           COALESCE(lead("timestamp") OVER of_user - "timestamp" >= $2, true) AS ends
    FROM events JOIN ids ON events.user_id = ids.logged_as
    WHERE events.user_id = ANY (ARRAY(SELECT logged_as FROM ids)) AND active
    WINDOW of_user AS (PARTITION BY ids.user_id ORDER BY "timestamp")
) AS activity
GROUP BY user_id
"""


def logged_of(row: Mapping[str, Any]) -> Logged:
    held_since: datetime | None = row["held_since"]
    return Logged(
        tuple(Span(*pair) for pair in zip(row["starts"], row["ends"], strict=True)),
        None if held_since is None else held_since + AHEAD,
    )
