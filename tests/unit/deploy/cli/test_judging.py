"""Which rows become events, under which id, and why others do not."""

import json
from pathlib import Path
from typing import Any

import pytest

from deploy.cli.importing.chunks import MOST_BYTES, in_chunks
from deploy.cli.importing.judging import LARGEST_EVENT, Event, Rejected
from deploy.cli.importing.rejects import LONGEST_SHOWN, reject_line
from deploy.cli.importing.rows import Place
from deploy.cli.importing.trial import describe, try_rows
from tests.unit.deploy.cli.kit import judge_of, opened, write

HEADER = "user_id,anonymous_id,timestamp,type,name,id,properties.x\n"


def judged(directory: Path, *rows: str, constants: tuple[str, ...] = ()) -> list[Event | Rejected]:
    path = write(directory, HEADER + "".join(f"{row}\n" for row in rows))
    source = opened(path)
    judge = judge_of(source, constants=constants)
    found = [judge.of(each) for each in source.read(None)]
    source.close()
    return found


def body(found: Event | Rejected) -> dict[str, Any]:
    assert isinstance(found, Event), found
    event: dict[str, Any] = json.loads(found.body)
    return event


def test_a_row_becomes_an_event_in_utc_with_what_it_holds(tmp_path: Path) -> None:
    (found,) = judged(tmp_path, "ada,,2024-03-01T12:00:00+02:00,page,Home,m-1,7")

    assert body(found) == {
        "user_id": "ada",
        "timestamp": "2024-03-01T10:00:00+00:00",
        "type": "page",
        "name": "Home",
        "id": "m-1",
        "properties": {"x": "7"},
    }


@pytest.mark.parametrize(
    ("row", "code", "reason"),
    [
        (",,2024-01-01,,Bought,,", "missing_field", "user_id is missing, and there is no anony"),
        ("  ,,2024-01-01,,Bought,,", "missing_field", "user_id is missing"),
        ("ada,,,,Bought,,", "missing_field", "timestamp is missing"),
        ("ada,,2024-01-01,,,,", "missing_field", "name is missing: a track event needs one"),
        ("ada,,2024-01-01,track, ,,", "missing_field", "name is missing"),
        ("ada,,2024-01-01,bought,,,", "unknown_type", "type: 'bought' must be one of: track,"),
        ("ada,,soon,,Bought,,", "invalid_timestamp", "timestamp: 'soon' is no ISO 8601 time"),
        ("ada,,1969-12-31,,Bought,,", "timestamp_out_of_range", "1969-12-31 lies before 1970"),
        ("ada,,2026-01-01T00:11Z,,Bought,,", "timestamp_out_of_range", "lies in the future"),
        (f"ada,,2024-01-01,,Bought,,{'x' * LARGEST_EVENT}", "event_too_large", "at most 32768"),
    ],
)
def test_a_row_that_is_no_event_is_rejected_with_line_code_and_reason(
    tmp_path: Path, row: str, code: str, reason: str
) -> None:
    first, second = judged(tmp_path, "ada,,2024-01-01,,Bought,,", row)

    assert isinstance(first, Event)
    assert isinstance(second, Rejected)
    assert (second.line, second.code) == (3, code)
    assert reason in second.reason


@pytest.mark.parametrize(
    "row",
    [
        ",visitor,2024-01-01,,Bought,,",
        "ada,,1970-01-01,,Bought,,",
        "ada,,2026-01-01T00:09Z,,Bought,,",
        "ada,,2024-01-01,identify,,,",
    ],
)
def test_what_ingest_takes_is_not_rejected(tmp_path: Path, row: str) -> None:
    (found,) = judged(tmp_path, row)

    assert isinstance(found, Event)


def test_an_id_is_made_of_what_the_event_says_and_of_its_line(tmp_path: Path) -> None:
    bought = "ada,,2024-01-01,,Bought,,"
    first, second, third = (body(each)["id"] for each in judged(tmp_path, bought, bought, bought))
    again = [body(each)["id"] for each in judged(tmp_path, bought, bought, bought)]
    (other,) = judged(tmp_path, bought, constants=("name=Sold",))

    assert again == [first, second, third]
    assert len({first, second, third, body(other)["id"]}) == 4


def test_an_id_of_the_file_is_kept(tmp_path: Path) -> None:
    (found,) = judged(tmp_path, "ada,,2024-01-01,,Bought,order-7,")

    assert body(found)["id"] == "order-7"


def event(size: int) -> Event:
    return Event(2, b"x" * size, None, Place(size, 3))


@pytest.mark.parametrize(("most", "sizes"), [(2, [2, 2, 1]), (5, [5]), (500, [5])])
def test_chunks_hold_so_many_rows_at_most(most: int, sizes: list[int]) -> None:
    chunks = list(in_chunks([event(10)] * 5, most=most))

    assert [chunk.rows for chunk in chunks] == sizes


def test_chunks_hold_no_more_bytes_than_a_request_may_have() -> None:
    rows = [event(LARGEST_EVENT)] * 200

    chunks = list(in_chunks(rows, most=500))

    assert sum(chunk.rows for chunk in chunks) == 200
    assert all(sum(len(each.body) for each in chunk.events) <= MOST_BYTES for chunk in chunks)


def test_a_reject_shows_its_row_cut_to_a_size_also_where_that_is_no_text() -> None:
    rejected = Rejected(7, "not_utf8", "is not UTF-8", b"z\xf6e" + b"x" * 99_999, Place(1, 8))

    shown = json.loads(reject_line(rejected, Path("orders.csv")))

    assert shown["row"].startswith("z\\xf6exxx")
    assert len(shown["row"]) <= LONGEST_SHOWN + 3
    assert (shown["file"], shown["line"], shown["code"]) == ("orders.csv", 7, "not_utf8")


def test_a_dry_run_counts_all_and_shows_the_first(tmp_path: Path) -> None:
    rows = [*["ada,,2024-01-01,,Bought,,"] * 20, *[",,x,,,,"] * 20]
    words = describe(try_rows(judged(tmp_path, *rows), most=None), Path("orders.csv"))

    assert words.count('"user_id": "ada"') == 3
    assert "orders.csv, line 22: user_id is missing" in words
    assert "… and 10 more" in words
    assert words.endswith("20 rows would be imported, 20 rejected; nothing was sent")


def test_a_dry_run_may_end_early(tmp_path: Path) -> None:
    rows = ["ada,,2024-01-01,,Bought,,"] * 20

    assert try_rows(judged(tmp_path, *rows), most=7).good == 7
