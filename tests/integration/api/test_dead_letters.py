"""Dead letters over HTTP: the bytes that came, every filter, and complete pages."""

import base64
import json
from datetime import timedelta
from typing import Any

import pytest

from tests.integration.api.rows import NOON, Rows
from tests.integration.api.site import Site

pytestmark = pytest.mark.postgres

PATH = "/v1/dead-letters"


def ids(body: dict[str, Any]) -> list[str]:
    return [letter["dead_letter_id"] for letter in body["dead_letters"]]


async def test_a_dead_letter_says_what_was_refused_where_and_why(api: Site, rows: Rows) -> None:
    await rows.dead_letter("a-1", field="timestamp", source="web")

    body = await api.get(PATH)

    assert body["dead_letters"] == [
        {
            "dead_letter_id": "a-1",
            "code": "invalid_json",
            "field": "timestamp",
            "reason": "not JSON",
            "origin": "ingest",
            "source": "web",
            "topic": "ebbtide.dead-letter.v1",
            "partition": 0,
            "offset": 7,
            "text": "{",
            "base64": None,
            "truncated": False,
            "refused_at": "2026-03-01T12:00:00Z",
        }
    ]


@pytest.mark.parametrize("value", [b"", b"{", "zoë 😀".encode(), b"a\x00b", b"\xef\xbb\xbf{}"])
async def test_bytes_that_are_text_are_shown_as_text(api: Site, rows: Rows, value: bytes) -> None:
    await rows.dead_letter("a", value=value)

    (letter,) = (await api.get(PATH))["dead_letters"]

    assert (letter["text"], letter["base64"]) == (value.decode(), None)


@pytest.mark.parametrize("value", [b"\xff\xfe", b"\x1f\x8b\x08\x00", b"\xed\xa0\x80", b"ab\xc3"])
async def test_bytes_that_are_no_text_are_shown_in_base64(
    api: Site, rows: Rows, value: bytes
) -> None:
    await rows.dead_letter("a", value=value)

    (letter,) = (await api.get(PATH))["dead_letters"]

    assert letter["text"] is None
    assert base64.b64decode(letter["base64"]) == value


async def test_a_letter_that_was_cut_short_says_so(api: Site, rows: Rows) -> None:
    await rows.dead_letter("a", truncated=True, value=b"{" * 1_048_576)

    (letter,) = (await api.get(PATH))["dead_letters"]

    assert letter["truncated"] is True
    assert len(letter["text"]) == 1_048_576


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ({}, ["c", "b", "a"]),
        ({"code": "invalid_json"}, ["c", "a"]),
        ({"origin": "segmenter"}, ["b"]),
        ({"source": "web"}, ["a"]),
        ({"source": "web", "origin": "segmenter"}, []),
        ({"refused_from": "2026-03-01T13:00:00Z"}, ["c", "b"]),
        ({"refused_to": "2026-03-01T13:00:00Z"}, ["a"]),
    ],
)
async def test_dead_letters_are_chosen_by_what_is_asked_newest_first(
    api: Site, rows: Rows, asked: dict[str, str], found: list[str]
) -> None:
    await rows.dead_letter("a", source="web")
    await rows.dead_letter(
        "b", code="invalid_event", origin="segmenter", refused_at=NOON + timedelta(hours=1)
    )
    await rows.dead_letter("c", refused_at=NOON + timedelta(hours=2))

    assert ids(await api.get(PATH, **asked)) == found


@pytest.mark.parametrize("limit", [1, 2, 3, 8, 100])
async def test_pages_over_equal_instants_neither_skip_nor_repeat(
    api: Site, rows: Rows, limit: int
) -> None:
    given = ["a", "A", "b", "é", "10", "9", "a'", "😀"]
    for dead_letter_id in given:
        await rows.dead_letter(dead_letter_id)

    pages = await api.pages(PATH, "dead_letters", limit=limit)

    shown = [letter["dead_letter_id"] for page in pages for letter in page]
    assert shown == sorted(given, key=lambda each: each.encode(), reverse=True)


async def test_a_page_of_large_letters_ends_early_and_the_next_goes_on(
    api: Site, rows: Rows
) -> None:
    for number in range(20):
        await rows.dead_letter(f"{number:02}", value=b"x" * 1_048_576)

    pages = await api.pages(PATH, "dead_letters", limit=100)

    assert [len(page) for page in pages] == [8, 8, 4]
    shown = [letter["dead_letter_id"] for page in pages for letter in page]
    assert shown == [f"{number:02}" for number in reversed(range(20))]


@pytest.mark.parametrize("key", ["\ud800", "a\x00b"])
async def test_a_cursor_that_no_row_can_have_is_refused(api: Site, key: str) -> None:
    text = f'["dead-letters","{NOON.isoformat()}",{json.dumps(key)}]'
    cursor = base64.urlsafe_b64encode(text.encode()).decode()

    problem = await api.refused(PATH, cursor=cursor)

    assert (problem["status"], problem["field"]) == (400, "cursor")


@pytest.mark.parametrize("limit", ["0", "101", "many"])
async def test_pages_are_small(api: Site, limit: str) -> None:
    assert (await api.refused(PATH, limit=limit))["field"] == "limit"
