"""Users as rows: the statements, and the way there and back."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from itertools import pairwise
from typing import Any

from services.segmenter.domain.deadlines import Deadline
from services.segmenter.domain.profile import Profile
from services.segmenter.domain.spans import Span
from shared.vocabulary import Lifecycle

_COLUMNS = """user_id, part, first_seen, last_seen, span_start, earlier_spans, lifecycle,
       lifecycle_since, deadline, deadline_to, event_count, known_at, policy_version, revision"""

LOCK = f"""
SELECT {_COLUMNS} FROM users WHERE user_id = ANY ($1::text[]) ORDER BY user_id FOR UPDATE
"""  # noqa: S608  constants only

DUE = "SELECT user_id FROM users WHERE part = $1 AND deadline <= $2 ORDER BY deadline LIMIT $3"

# Whoever is locked is in another lane's hands, and is left for the next beat: the users of this batch are
# locked already, and to wait now would be to wait out of order. The conditions are those of `DUE`: who
# was changed a moment ago is judged anew.
LOCK_DUE = f"""
SELECT {_COLUMNS} FROM users
WHERE user_id = ANY ($3::text[]) AND part = $1 AND deadline <= $2
ORDER BY user_id FOR UPDATE SKIP LOCKED
"""  # noqa: S608

_ROWS = """
unnest($1::text[], $2::int[], $3::timestamptz[], $4::timestamptz[], $5::timestamptz[], $6::text[],
       $7::text[], $8::timestamptz[], $9::timestamptz[], $10::text[], $11::bigint[],
       $12::timestamptz[], $13::int[], $14::int[])
"""

ADD = f"""
INSERT INTO users ({_COLUMNS}, updated_at)
SELECT user_id, part, first_seen, last_seen, span_start, earlier_spans::timestamptz[], lifecycle,
       lifecycle_since, deadline, deadline_to, event_count, known_at, policy_version, revision,
       $15::timestamptz
FROM {_ROWS} AS given ({_COLUMNS})
ON CONFLICT (user_id) DO NOTHING
RETURNING user_id
"""  # noqa: S608

SAVE = f"""
UPDATE users
SET part = given.part, first_seen = given.first_seen, last_seen = given.last_seen,
    span_start = given.span_start, earlier_spans = given.earlier_spans::timestamptz[],
    lifecycle = given.lifecycle, lifecycle_since = given.lifecycle_since,
    deadline = given.deadline, deadline_to = given.deadline_to, event_count = given.event_count,
    known_at = given.known_at, policy_version = given.policy_version, revision = given.revision,
    updated_at = $15::timestamptz
FROM {_ROWS} AS given ({_COLUMNS})
WHERE users.user_id = given.user_id
"""  # noqa: S608


def columns(profiles: Sequence[Profile]) -> list[list[Any]]:
    """Return the users as one array per column, in the order of the statements."""
    return [list(column) for column in zip(*map(_row, profiles), strict=True)]


def profile_of(row: Mapping[str, Any]) -> Profile:
    earlier = row["earlier_spans"]
    spans = [Span(*pair) for pair in list(pairwise(earlier))[::2]]
    deadline = row["deadline"]
    return Profile(
        row["user_id"],
        row["part"],
        (*spans, Span(row["span_start"], row["last_seen"])),
        Lifecycle(row["lifecycle"]),
        row["lifecycle_since"],
        None if deadline is None else Deadline(deadline, Lifecycle(row["deadline_to"])),
        row["event_count"],
        row["known_at"],
        row["policy_version"],
        row["revision"],
    )


def _row(profile: Profile) -> tuple[Any, ...]:
    deadline = profile.deadline
    return (
        profile.user_id,
        profile.part,
        profile.first_seen,
        profile.last_seen,
        profile.spans[-1].start,
        _array(profile.spans[:-1]),
        profile.lifecycle.value,
        profile.lifecycle_since,
        None if deadline is None else deadline.at,
        None if deadline is None else deadline.to.value,
        profile.event_count,
        profile.known_at,
        profile.policy_version,
        profile.revision,
    )


def _array(spans: Sequence[Span]) -> str:
    """Return the array as text: an array of arrays of different lengths can't be a parameter."""
    if not spans:
        return "{}"
    return "{" + ",".join(_quoted(at) for span in spans for at in (span.start, span.end)) + "}"


def _quoted(instant: datetime) -> str:
    return f'"{instant.isoformat()}"'
