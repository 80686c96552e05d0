"""Users as rows: the statements, and the way there and back."""

from collections.abc import Mapping, Sequence
from datetime import date, datetime
from functools import lru_cache, partial
from itertools import pairwise
from typing import Any

import msgspec

from services.segmenter.domain.active_days import ActiveDays
from services.segmenter.domain.deadlines import Deadline
from services.segmenter.domain.origin import Origin
from services.segmenter.domain.profile import Profile
from services.segmenter.domain.spans import Span, Spans
from services.segmenter.usecases.ports import NoUser
from shared.database.arrays import (
    NULL,
    copied,
    instant_array,
    instant_texts,
    number_array,
    text_array,
    word_array,
)
from shared.vocabulary import Lifecycle

Place = tuple[int, int]  # block, and line in it: Postgres's ctid

_COLUMNS = """user_id, part, first_seen, last_seen, span_start, earlier_spans, lifecycle,
       lifecycle_since, deadline, deadline_to, event_count, known_at, policy_version, revision,
       first_day, days, channel, platform, also_parts"""

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


def _by_id_and_place(update: str, *, last: int) -> tuple[str, str]:
    """Return the statement that looks users up, and the one that is told where they lie in its last parameter."""
    places = f", ${last}::text::tid[]"
    there = " AND users.ctid = given.place"
    return (
        update.format(places="", place="", there=""),
        update.format(places=places, place=", place", there=there),
    )


_ROWS = """
unnest($1::text::text[], $2::text::int[], $3::text::timestamptz[], $4::text::timestamptz[],
       $5::text::timestamptz[], $6::text::text[], $7::text::text[], $8::text::timestamptz[],
       $9::text::timestamptz[], $10::text::text[], $11::text::bigint[], $12::text::timestamptz[],
       $13::text::int[], $14::text::int[], $15::text::int[], $16::text::text[], $17::text::text[],
       $18::text::text[], $19::text::text[])
"""

ADD = f"""
INSERT INTO users ({_COLUMNS}, check_at, updated_at)
SELECT user_id, part, first_seen, last_seen, span_start, earlier_spans::timestamptz[], lifecycle,
       lifecycle_since, deadline, deadline_to, event_count, known_at, policy_version, revision,
       DATE '0001-01-01' + (first_day - 1), decode(days, 'hex'), channel, platform,
       also_parts::int[], deadline, $20::timestamptz
FROM {_ROWS} AS given ({_COLUMNS})
ON CONFLICT (user_id) DO NOTHING
RETURNING user_id
"""  # noqa: S608

# Whoever is saved is a user, whatever the row was.
SAVE = f"""
UPDATE users
SET part = given.part, first_seen = given.first_seen, last_seen = given.last_seen,
    span_start = given.span_start, earlier_spans = given.earlier_spans::timestamptz[],
    lifecycle = given.lifecycle, lifecycle_since = given.lifecycle_since,
    deadline = given.deadline, deadline_to = given.deadline_to, check_at = given.deadline,
    event_count = given.event_count, known_at = given.known_at,
    policy_version = given.policy_version, revision = given.revision,
    first_day = DATE '0001-01-01' + (given.first_day - 1), days = decode(given.days, 'hex'),
    channel = given.channel, platform = given.platform, also_parts = given.also_parts::int[],
    merged_into = NULL, updated_at = $20::timestamptz
FROM {_ROWS} AS given ({_COLUMNS})
WHERE users.user_id = given.user_id
"""  # noqa: S608

_EXTEND = """
UPDATE users
SET last_seen = given.last_seen, deadline = given.deadline, deadline_to = given.deadline_to,
    event_count = given.event_count, known_at = given.known_at, updated_at = $7::timestamptz
FROM unnest($1::text::text[], $2::text::timestamptz[], $3::text::timestamptz[], $4::text::text[],
            $5::text::bigint[], $6::text::timestamptz[]{places})
     AS given (user_id, last_seen, deadline, deadline_to, event_count, known_at{place})
WHERE users.user_id = given.user_id{there}
"""

_AGE = """
UPDATE users
SET lifecycle = given.lifecycle, lifecycle_since = given.lifecycle_since,
    deadline = given.deadline, deadline_to = given.deadline_to, check_at = given.deadline,
    updated_at = $6::timestamptz
FROM unnest($1::text::text[], $2::text::text[], $3::text::timestamptz[], $4::text::timestamptz[],
            $5::text::text[]{places})
     AS given (user_id, lifecycle, lifecycle_since, deadline, deadline_to{place})
WHERE users.user_id = given.user_id{there}
"""

# By where the rows lie, once they are locked: a quarter cheaper than to look them up once more. Places come last.
EXTEND, EXTEND_THERE = _by_id_and_place(_EXTEND, last=8)
AGE, AGE_THERE = _by_id_and_place(_AGE, last=7)


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


# Of a new user; in the order of `lines`.
BEGUN = (
    "user_id", "part", "first_seen", "last_seen", "span_start", "earlier_spans", "lifecycle",
    "lifecycle_since", "deadline", "deadline_to", "check_at", "event_count", "known_at", "policy_version",
    "revision", "first_day", "days", "channel", "platform", "also_parts",
    "updated_at",
)  # fmt: skip


def lines(profiles: Sequence[Profile], *, now: datetime) -> bytes:
    """Return new users in COPY's text format: to copy them costs Postgres three quarters of an insert."""
    (updated_at,) = instant_texts([now])
    instants = zip(
        profiles,
        instant_texts([each.first_seen for each in profiles]),
        instant_texts([each.last_seen for each in profiles]),
        instant_texts([each.spans[-1].start for each in profiles]),
        instant_texts([each.lifecycle_since for each in profiles]),
        _dues(profiles),
        instant_texts([each.known_at for each in profiles]),
        strict=True,
    )
    return "".join(
        [
            f"{copied(each.user_id)}\t{each.part}\t{first_seen}\t{last_seen}\t{span_start}\t"
            f"{_earlier(each.spans)}\t{each.lifecycle._value_}\t{since}\t{due}\t"
            f"{each.event_count}\t{known_at}\t{each.policy_version}\t{each.revision}\t"
            f"{_date(each.days.first)}\t\\\\x{each.days.to_bytes().hex()}\t"
            f"{copied(each.origin.channel)}\t{copied(each.origin.platform)}\t"
            f"{_also_parts(each)}\t{updated_at}\n"
            for each, first_seen, last_seen, span_start, since, due, known_at in instants
        ]
    ).encode()


_NEVER = f"{NULL}\t{NULL}\t{NULL}"


def _dues(profiles: Sequence[Profile]) -> list[str]:
    """Return for each user the three columns that say what time does to them."""
    deadlines = [each.deadline for each in profiles]
    instants = instant_texts([None if each is None else each.at for each in deadlines])
    return [
        _NEVER if each is None else f"{at}\t{each.to._value_}\t{at}"
        for each, at in zip(deadlines, instants, strict=True)
    ]


@lru_cache(maxsize=1024)
def _date(ordinal: int) -> str:
    return str(date.fromordinal(ordinal))


def columns(profiles: Sequence[Profile]) -> list[str]:
    """Return the users as one array per column, in the order of `ADD` and `SAVE`."""
    return [
        text_array([profile.user_id for profile in profiles]),
        number_array([profile.part for profile in profiles]),
        instant_array([profile.first_seen for profile in profiles]),
        instant_array([profile.last_seen for profile in profiles]),
        instant_array([profile.spans[-1].start for profile in profiles]),
        text_array([_earlier(profile.spans) for profile in profiles]),
        word_array([profile.lifecycle for profile in profiles]),
        instant_array([profile.lifecycle_since for profile in profiles]),
        *_deadline_columns(profiles),
        number_array([profile.event_count for profile in profiles]),
        instant_array([profile.known_at for profile in profiles]),
        number_array([profile.policy_version for profile in profiles]),
        number_array([profile.revision for profile in profiles]),
        number_array([profile.days.first for profile in profiles]),
        word_array([profile.days.to_bytes().hex() for profile in profiles]),
        text_array([profile.origin.channel for profile in profiles]),
        text_array([profile.origin.platform for profile in profiles]),
        text_array([_also_parts(profile) for profile in profiles]),
    ]


def places_column(places: Sequence[Place]) -> str:
    """Return the last parameter of `EXTEND_THERE` and `AGE_THERE`."""
    return text_array([f"({block},{line})" for block, line in places])


def extended_columns(profiles: Sequence[Profile]) -> list[str]:
    """Return what further activity moves, as one array per column, in the order of `EXTEND`."""
    return [
        text_array([profile.user_id for profile in profiles]),
        instant_array([profile.spans[-1].end for profile in profiles]),
        *_deadline_columns(profiles),
        number_array([profile.event_count for profile in profiles]),
        instant_array([profile.known_at for profile in profiles]),
    ]


def aged_columns(profiles: Sequence[Profile]) -> list[str]:
    """Return what time moves, as one array per column, in the order of `AGE`."""
    return [
        text_array([profile.user_id for profile in profiles]),
        word_array([profile.lifecycle for profile in profiles]),
        instant_array([profile.lifecycle_since for profile in profiles]),
        *_deadline_columns(profiles),
    ]


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


def _earlier(spans: Spans) -> str:
    if len(spans) == 1:
        return "{}"  # as the arrays below say, without their making
    return instant_array([at for span in spans[:-1] for at in (span.start, span.end)])


def _also_parts(profile: Profile) -> str:
    return number_array(profile.also_parts) if profile.also_parts else "{}"


def _deadline_columns(profiles: Sequence[Profile]) -> list[str]:
    deadlines = [profile.deadline for profile in profiles]
    return [
        instant_array([None if each is None else each.at for each in deadlines]),
        word_array([None if each is None else each.to for each in deadlines]),
    ]
