"""Users as rows that are read: the statements, most of which lock, and the way to profiles."""

from collections.abc import Mapping, Sequence
from datetime import date, datetime
from functools import partial
from itertools import pairwise
from typing import Any

import msgspec

from services.segmenter.domain.active_days import ActiveDays
from services.segmenter.domain.deadlines import Deadline
from services.segmenter.domain.origin import Origin
from services.segmenter.domain.profile import Profile
from services.segmenter.domain.spans import Span, Spans
from services.segmenter.usecases.ports import NoUser
from shared.vocabulary import Lifecycle

Place = tuple[int, int]  # block, and line in it: Postgres's ctid

# As `profile_of` reads them: instants as seconds since 1970, for the driver takes ten times as long to make them out of
# its own, and that was half of what a row cost to read. Exact to the microsecond up to the year 2242. Two are nearly
# always said by others.
_READ = """user_id, part, CASE WHEN days IS NULL THEN first_seen END AS first_seen,
       date_part('epoch', last_seen) AS last_seen, date_part('epoch', span_start) AS span_start, earlier_spans,
       lifecycle, date_part('epoch', nullif(lifecycle_since, span_start)) AS lifecycle_since,
       date_part('epoch', deadline) AS deadline, deadline_to, event_count,
       date_part('epoch', known_at) AS known_at, policy_version, revision,
       first_day, days, channel, platform, also_parts"""

# Joined, not `= ANY`: in a small table that is a look at every id for every row, seconds for thousands of both.
WHOLE = f"""
SELECT {_READ}, merged_into
FROM unnest($1::text::text[]) AS wanted (wanted_id) JOIN users ON user_id = wanted_id
ORDER BY user_id
"""  # noqa: S608  constants only

# One after the other in the order of the given ids, which have to be in order for that: locks are taken by all
# in the same order. Whoever is locked here stays where the row lies until this transaction writes it.
LOCK = f"""
SELECT found.* FROM unnest($1::text::text[]) AS wanted (wanted_id), LATERAL (
    SELECT {_READ}, merged_into, ctid FROM users WHERE user_id = wanted_id FOR UPDATE
) AS found
"""  # noqa: S608

# Of all users who are reckoned with at once: the server must not hear nothing for too long meanwhile.
MOST_SPANS = 10_000
# Each policy that ever held is asked of each span.
SPANS = """(cardinality(earlier_spans) / 2 + 1)
        * (SELECT count(*) FROM policies WHERE activated_at IS NOT NULL)"""

PAGE = f"""
SELECT {_READ}
FROM (SELECT *, row_number() OVER by_id AS place, sum({SPANS}) OVER by_id AS so_far
      FROM (SELECT * FROM users WHERE user_id > $1 AND merged_into IS NULL
            ORDER BY user_id LIMIT $2) AS page
      WINDOW by_id AS (ORDER BY user_id)) AS taken
WHERE place = 1 OR so_far <= {MOST_SPANS}
ORDER BY user_id
"""  # noqa: S608

# `check_at` is the deadline as of the last whole save, and never later than the deadline itself. It is what
# the index is on: activity that only moves the deadline on leaves every index alone.
DUE = f"""
SELECT user_id, date_part('epoch', check_at) AS due_at, {SPANS} AS spans FROM users
WHERE part = $1 AND check_at <= $2 {{condition}}
ORDER BY {{order}} LIMIT $3
"""  # noqa: S608
DUE_FIRST = DUE.format(condition="", order="check_at")
DUE_BESIDES = DUE.format(condition="AND NOT also_parts && $4::int[]", order="check_at")
# The order of ids costs a sort where many are due at one instant: only where somebody is held up.
DUE_BEHIND = DUE.format(
    condition="AND NOT also_parts && $4::int[] AND check_at >= $5 AND (check_at, user_id) > ($5, $6)",
    order="check_at, user_id",
)

# Whoever is locked is in another lane's hands, and is left for the next beat: the users of this batch are
# locked already, and to wait now would be to wait out of order. The conditions are those of `DUE`: who
# was changed a moment ago is judged anew.
LOCK_DUE = f"""
SELECT found.* FROM unnest($3::text::text[]) AS wanted (wanted_id), LATERAL (
    SELECT {_READ}, merged_into, ctid FROM users
    WHERE user_id = wanted_id AND part = $1 AND check_at <= $2
    FOR UPDATE SKIP LOCKED
) AS found
"""  # noqa: S608


class _Row(msgspec.Struct, array_like=True, gc=False):
    """What `_READ` selects, in its order. A Struct, because msgspec takes any other type apart on each call anew."""

    user_id: str
    part: int
    first_seen: datetime | None  # null where the days say it
    last_seen: datetime
    span_start: datetime
    earlier_spans: list[datetime]
    lifecycle: Lifecycle
    lifecycle_since: datetime | None  # null where it is the start of the span
    deadline: datetime | None
    deadline_to: Lifecycle | None
    event_count: int
    known_at: datetime
    policy_version: int
    revision: int
    first_day: date | None
    days: bytes | None
    channel: str
    platform: str
    also_parts: tuple[int, ...] | None


# Not strict: instants come as seconds.
_row = partial(msgspec.convert, type=_Row, strict=False)


def profile_of(row: Sequence[Any]) -> Profile:
    """Return the user of a row that has the statements' columns."""
    read = _row(tuple(row))
    spans: Spans = (Span(read.span_start, read.last_seen),)
    if read.earlier_spans:
        spans = (*(Span(*pair) for pair in list(pairwise(read.earlier_spans))[::2]), *spans)
    return Profile(
        read.user_id,
        read.part,
        spans,
        read.lifecycle,
        read.lifecycle_since or read.span_start,
        _deadline(read),
        read.event_count,
        read.known_at,
        read.policy_version,
        _days(read),
        Origin(read.channel, read.platform),
        read.revision,
        read.also_parts or (),
    )


def _deadline(read: _Row) -> Deadline | None:
    if read.deadline is None or read.deadline_to is None:
        return None
    return Deadline(read.deadline, read.deadline_to)


def _days(read: _Row) -> ActiveDays:
    if read.days is None or read.first_day is None:  # of users from before days were kept
        return ActiveDays((read.first_seen or read.span_start).toordinal())
    return ActiveDays.from_bytes(read.first_day.toordinal(), read.days)


def due_at(row: Mapping[str, Any]) -> datetime:
    """Return when a row of `DUE` says to look at the user."""
    return msgspec.convert(row["due_at"], datetime, strict=False)


def merged_into(row: Sequence[Any]) -> str | None:
    """Return what a locked row says of whose it is; None: it is a user."""
    home: str | None = row[-2]
    return home


def place_of(row: Sequence[Any]) -> Place:
    """Return where a locked row lies."""
    place: Place = row[-1]
    return place


def no_user_of(row: Mapping[str, Any]) -> NoUser:
    return NoUser(row["merged_into"], row["revision"], row["part"], tuple(row["also_parts"]))
