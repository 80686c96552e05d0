"""Users as rows that are written: the statements, and the way there."""

from collections.abc import Sequence
from datetime import date, datetime
from functools import lru_cache

from services.segmenter.domain.profile import Profile
from services.segmenter.domain.spans import Spans
from services.segmenter.outbound.user_rows import Place
from shared.database.arrays import (
    NULL,
    copied,
    instant_array,
    instant_texts,
    number_array,
    text_array,
    word_array,
)

_COLUMNS = """user_id, part, first_seen, last_seen, span_start, earlier_spans, lifecycle,
       lifecycle_since, deadline, deadline_to, event_count, known_at, policy_version, revision,
       first_day, days, channel, platform, also_parts"""


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
