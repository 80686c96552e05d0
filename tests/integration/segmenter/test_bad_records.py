"""Envelopes that can't be worked with are kept with their reason, and their neighbours are folded."""

import json
import random
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import msgspec
import pytest

from services.segmenter.inbound.decoding import AHEAD
from shared.clock import LATEST
from shared.contracts.codec import encode
from tests.integration.segmenter.kit import START, Site, day, event

pytestmark = pytest.mark.postgres

MICROSECOND = timedelta(microseconds=1)


def envelope(**more: Any) -> bytes:
    """Return an envelope as somebody other than ingest may write it."""
    fields = {
        "source": "web",
        "event_id": "odd",
        "user_id": "odd",
        "type": "track",
        "timestamp": START.isoformat(),
        "received_at": START.isoformat(),
    }
    return json.dumps(fields | more).encode()


BROKEN = [
    (b"", "undecodable", None),
    (b"{", "undecodable", None),
    (b"\xff\xfe", "undecodable", None),
    (b"[" * 100_000, "undecodable", None),
    (envelope(timestamp="yesterday"), "undecodable", None),
    (envelope(v=2), "unknown_version", "v"),
    (envelope(v=0), "unknown_version", "v"),
    (envelope(user_id=""), "invalid_envelope", "user_id"),
    (envelope(event_id=""), "invalid_envelope", "event_id"),
    (envelope(user_id="a\x00b"), "invalid_envelope", "user_id"),
    (envelope(source="a\x00b"), "invalid_envelope", "source"),
    (envelope(name="a\x00b"), "rejected_by_store", None),
    (envelope(anonymous_id="a\x00b"), "rejected_by_store", None),
    (envelope(event_id=random.Random(1).randbytes(4_000).hex()), "rejected_by_store", None),
    (envelope(timestamp="2026-01-05T12:00:00"), "invalid_envelope", "timestamp"),
    (envelope(received_at="2026-01-05T12:00:00"), "invalid_envelope", "received_at"),
    (envelope(timestamp="0001-01-01T00:00:00Z"), "invalid_envelope", "timestamp"),
    (envelope(timestamp="0001-01-01T00:00:00+14:00"), "invalid_envelope", "timestamp"),
    (envelope(timestamp="9999-12-31T23:59:59.999999Z"), "invalid_envelope", "timestamp"),
    (envelope(timestamp="9999-12-31T23:59:59-14:00"), "invalid_envelope", "timestamp"),
    (envelope(received_at="0001-01-01T00:00:00Z"), "invalid_envelope", "received_at"),
    (envelope(received_at="1969-12-31T23:59:59Z"), "invalid_envelope", "received_at"),
    (envelope(received_at="9999-12-31T00:00:00Z"), "invalid_envelope", "received_at"),
    (envelope(timestamp="2026-01-07T12:00:00Z"), "invalid_envelope", "timestamp"),
]


@pytest.mark.parametrize(("broken", "code", "field"), BROKEN)
async def test_a_broken_record_is_kept_and_its_neighbours_are_folded(
    site: Site, broken: bytes, code: str, field: str | None
) -> None:
    await site.fold(event("u", START), broken, event("v", START))

    assert await site.letters() == {1: (code, field)}
    kept = await site.owner.fetchrow("SELECT value, key, refused_at FROM dead_letters")
    assert tuple(kept or ()) == (broken, b"key", START)
    assert await site.owner.fetch("SELECT user_id FROM users ORDER BY 1") == [("u",), ("v",)]


async def test_a_segmenter_whose_own_clock_is_days_behind_refuses_nothing(site: Site) -> None:
    await site.fold(event("u", START), now=START - timedelta(days=3))

    assert await site.letters() == {}
    assert (await site.user())["last_seen"] == START


async def test_all_that_can_be_wrong_at_once_leaves_the_partition_running(site: Site) -> None:
    await site.fold(*(broken for broken, _, _ in BROKEN), event("u", START))

    assert await site.letters() == {
        offset: (code, field) for offset, (_, code, field) in enumerate(BROKEN)
    }
    await site.fold(event("u", day(1)))
    assert (await site.user())["event_count"] == 2


async def test_extreme_dates_make_no_partitions(site: Site) -> None:
    before = await _partitions(site)

    await site.fold(
        *(broken for broken, _, field in BROKEN if field in {"timestamp", "received_at"})
    )

    assert await _partitions(site) == before


async def test_text_in_a_payload_that_is_no_text_is_refused_alone(site: Site) -> None:
    raw = msgspec.Raw(b'{"a":"\xff"}')

    await site.fold(event("u", START), event("bad", START, payload=raw), event("v", START))

    assert await site.letters() == {1: ("rejected_by_store", None)}
    assert await site.owner.fetch("SELECT user_id FROM users ORDER BY 1") == [("u",), ("v",)]


async def test_what_the_client_wrote_is_kept_byte_for_byte(site: Site) -> None:
    raw = b'{ "n": 1.50, "n": "\\u0000", "big": 123456789012345678901234567890 }'

    await site.fold(event("u", START, payload=msgspec.Raw(raw)))

    assert await site.owner.fetchval("SELECT payload::text FROM events") == raw.decode()


@pytest.mark.parametrize(
    ("at", "received_at"),
    [
        (datetime(1970, 1, 1, tzinfo=UTC), START),
        (datetime(1970, 1, 1, tzinfo=UTC), datetime(1970, 1, 1, tzinfo=UTC)),
        (START + AHEAD, START),
        (LATEST - MICROSECOND, LATEST - MICROSECOND),
    ],
)
async def test_the_first_and_last_instants_that_are_taken(
    site: Site, at: datetime, received_at: datetime
) -> None:
    await site.fold(event("u", at, received_at=received_at), now=START)

    assert (await site.user())["last_seen"] == at


@pytest.mark.parametrize(
    ("at", "received_at"),
    [(START + AHEAD + MICROSECOND, START), (START, LATEST)],
)
async def test_the_first_instants_that_are_refused(
    site: Site, at: datetime, received_at: datetime
) -> None:
    await site.fold(event("u", at, received_at=received_at), now=START)

    assert await site.letters() == {
        0: ("invalid_envelope", "timestamp" if at > START else "received_at")
    }


@pytest.mark.parametrize("hours", [-14, -5, 5.5, 14])
async def test_an_instant_in_another_zone_lies_in_its_day_and_month_of_utc(
    site: Site, hours: float
) -> None:
    """Near midnight at a month's end, the zone's own date is another day's."""
    zone = timezone(timedelta(hours=hours))
    for number, at in enumerate(
        (datetime(2026, 3, 31, 23, 50, tzinfo=UTC), datetime(2026, 4, 1, 0, 10, tzinfo=UTC))
    ):
        there = at.astimezone(zone)
        await site.fold(event("u", there, event_id=str(number)), now=at)

    assert await site.count("events_2026_03_31") == 1
    assert await site.count("events_2026_04_01") == 1
    assert await site.count("transitions_2026_03") == 1


async def test_a_record_that_breaks_the_batch_leaves_the_same_history_as_without_it(
    site: Site,
) -> None:
    """The batch is then applied in pieces: a piece may write what the next one corrects."""
    acts = [day(10), day(50), day(0), day(18), day(51)]
    poison = envelope(name="a\x00b")
    values = [encode(event("u", at, received_at=day(51))) for at in acts]

    await site.fold(*values[:2], poison, *values[2:], now=day(51))

    assert await site.history() == [
        (day(0), "new"),
        (day(7), "silent"),
        (day(10), "active"),
        (day(17), "silent"),
        (day(18), "active"),
        (day(25), "silent"),
        (day(48), "churned"),
        (day(50), "returned"),
    ]


async def _partitions(site: Site) -> set[str]:
    rows = await site.owner.fetch("SELECT relid::text FROM pg_partition_tree('events')")
    rows += await site.owner.fetch("SELECT relid::text FROM pg_partition_tree('transitions')")
    return {row["relid"] for row in rows}


async def test_ids_that_hold_our_own_separator_are_known_again(site: Site) -> None:
    odd = [
        event("u", START, event_id=each) for each in ("a\x1fb", "a", "b", 'c"\\,{}', "NULL", " ")
    ]

    await site.fold(*odd)
    await site.fold(*odd, event("u", START, event_id="new"))

    assert (await site.user())["event_count"] == len(odd) + 1
