"""Users and cells at random, and what the event log, users and transitions say of them."""

from functools import cache

# Pages at random, and rows of them at random: no scan, whatever the number of users.
SAMPLE = """
SELECT user_id, policy_version, span_start, last_seen, earlier_spans, first_day, days, channel,
       platform, event_count, lifecycle, lifecycle_since, deadline, deadline_to, first_seen
FROM users TABLESAMPLE SYSTEM ($2)
WHERE merged_into IS NULL ORDER BY random() LIMIT $1
"""

PAGES = "SELECT greatest(1, pg_relation_size('users') / current_setting('block_size')::int)"

# An event lies at most a day after its receipt: whoever was first seen a day after the log's beginning
# has all of their events in it.
HELD_SINCE = "SELECT held_since + interval '1 day' FROM log_horizon"

IDS = "SELECT user_id, merged_into FROM users WHERE merged_into = ANY ($1::text[])"

INSTANTS = """
SELECT user_id, "timestamp" FROM events WHERE user_id = ANY ($1::text[]) AND active
ORDER BY user_id, "timestamp"
"""

PAYLOADS = """
SELECT events.user_id, events.payload
FROM unnest($1::text[], $2::timestamptz[]) AS first (user_id, at)
JOIN events ON events.user_id = first.user_id AND events."timestamp" = first.at AND active
"""

STEPS = """
SELECT user_id, at, before, after, reason, policy_version FROM transitions
WHERE user_id = ANY ($1::text[]) AND kind = 'lifecycle' AND retracted_at IS NULL
ORDER BY at, policy_version
"""

# The catalogue's estimate: cells of days are recounted by a look at every user.
USERS = "SELECT reltuples::bigint FROM pg_class WHERE oid = 'users'::regclass"

# A day, week or month in which somebody was active.
RANDOM_PERIOD = """
SELECT start FROM active_users WHERE period = $1 AND dimension = 'all'
GROUP BY start HAVING sum(users) <> 0 ORDER BY random() LIMIT 1
"""

# A day or week in which somebody began, and an age that its users can have by now, of so many days each.
RANDOM_COHORT = """
SELECT start, floor(random() * (least($2::int, (latest - start) / $3::int) + 1))::int AS age
FROM active_users, (SELECT max(start) AS latest FROM active_users WHERE period = $1) AS last
WHERE period = $1 AND dimension = 'all'
GROUP BY start, latest HAVING sum(new_users) <> 0 ORDER BY random() LIMIT 1
"""

RANDOM_HOUR = """
SELECT hour FROM lifecycle_flows
WHERE dimension = 'all' AND hour >= (
    SELECT min(hour) + random() * (max(hour) - min(hour)) FROM lifecycle_flows
    WHERE dimension = 'all'
)
ORDER BY hour LIMIT 1
"""

RANDOM_MONTH = """
SELECT month FROM lifecycle_flow_months WHERE dimension = 'all'
GROUP BY month ORDER BY random() LIMIT 1
"""

ACTIVE = """
SELECT dimension, value, sum(users)::bigint AS users, sum(new_users)::bigint AS new_users
FROM active_users WHERE period = $1 AND start = $2 GROUP BY dimension, value
"""

# In a CASE, which keeps to its order: there is no bit beyond the last byte.
_ACTIVE_THEN = """
CASE WHEN {day} - first_day BETWEEN 0 AND 8 * length(days) - 1
     THEN get_bit(days, ({day} - first_day)::bigint) = 1 ELSE false END
"""


def _active_within(start: str, days: int) -> str:
    """Return the condition that a user was active on any of so many days; the first that is ends the search."""
    return " OR ".join(_ACTIVE_THEN.format(day=f"({start} + {each})") for each in range(days))


@cache
def recount_active(days: int) -> str:
    """Return the question who was active, and who began, within so many days from a date on."""
    return f"""
SELECT channel, platform, count(*) AS users,
       count(*) FILTER (WHERE first_day BETWEEN $1::date AND $1::date + {days - 1}) AS new_users
FROM users WHERE merged_into IS NULL AND ({_active_within("$1::date", days)})
GROUP BY channel, platform
"""  # noqa: S608  constants only


RETAINED = """
SELECT dimension, value, sum(users)::bigint AS users
FROM retention WHERE period = $1 AND cohort = $2 AND age = $3 GROUP BY dimension, value
"""


@cache
def recount_retained(days: int) -> str:
    """Return the question who of a cohort of so many days was active at an age of so many such periods."""
    return f"""
SELECT channel, platform, count(*) AS users
FROM users
WHERE merged_into IS NULL AND first_day BETWEEN $1::date AND $1::date + {days - 1}
  AND ({_active_within(f"($1::date + {days} * $2::int)", days)})
GROUP BY channel, platform
"""  # noqa: S608


FLOWS = """
SELECT dimension, value, before, after, sum(transitions)::bigint AS transitions
FROM lifecycle_flows WHERE hour = $1 GROUP BY dimension, value, before, after
"""

RECOUNT_FLOWS = """
SELECT channel, platform, coalesce(before, '') AS before, after, count(*) AS transitions
FROM transitions JOIN users USING (user_id)
WHERE at >= $1 AND at < $2 AND kind = 'lifecycle' AND retracted_at IS NULL
GROUP BY channel, platform, before, after
"""

# Hours are added up by the months of UTC in which they begin.
FLOWS_OF_MONTH = """
SELECT dimension, value, before, after, sum(transitions)::bigint AS transitions
FROM lifecycle_flow_months WHERE month = $1 GROUP BY dimension, value, before, after
"""

FLOWS_OF_ITS_HOURS = """
SELECT dimension, value, before, after, sum(transitions)::bigint AS transitions
FROM lifecycle_flows
WHERE hour >= $1::timestamp AT TIME ZONE 'UTC'
  AND hour < ($1::timestamp + interval '1 month') AT TIME ZONE 'UTC'
GROUP BY dimension, value, before, after
"""

ADD_RUN = """
INSERT INTO reconciliations
       (at, users_checked, users_skipped, users_differing, cells_checked, cells_differing)
VALUES ($1, $2, $3, $4, $5, $6) RETURNING reconciliation_id
"""

ADD_DIFFERENCES = """
INSERT INTO reconciliation_differences
       (reconciliation_id, kind, subject, field, stored, recounted)
SELECT $1, * FROM unnest($2::text[], $3::text[], $4::text[], $5::text[], $6::text[])
"""

FORGET_DIFFERENCES = "DELETE FROM reconciliation_differences WHERE reconciliation_id <= $1"
FORGET_RUNS = "DELETE FROM reconciliations WHERE reconciliation_id <= $1"
