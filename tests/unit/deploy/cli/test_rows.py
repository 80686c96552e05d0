"""Rows of real files: what is read, what is broken and why, and from any place on."""

import gzip
import json
import tempfile
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deploy.cli.exits import Failed
from deploy.cli.importing.csv_rows import MOST_LINES
from deploy.cli.importing.rows import LONGEST_ROW, Broken, Found, Row
from tests.unit.deploy.cli.kit import all_rows, opened, write

HEADER = "customer,date\n"


def outlines(found: list[Found]) -> list[tuple[int, object]]:
    return [
        (each.line, each.code if isinstance(each, Broken) else list(each.values.values()))
        for each in found
    ]


# --- CSV ---


@pytest.mark.parametrize(
    ("content", "found"),
    [
        ("a,1\nb,2\n", [(2, ["a", "1"]), (3, ["b", "2"])]),
        ("a,1\r\n\r\nb,2", [(2, ["a", "1"]), (4, ["b", "2"])]),
        ('"a,\nb","1""x"\nc,2\n', [(2, ["a,\nb", '1"x']), (4, ["c", "2"])]),
        ('5" pipe,2\nb,2\n', [(2, ['5" pipe', "2"]), (3, ["b", "2"])]),
        ("a\nb,2\n", [(2, "wrong_column_count"), (3, ["b", "2"])]),
        ("a,1,x\nb,2\n", [(2, "wrong_column_count"), (3, ["b", "2"])]),
        ('a,"1\nb,2\nc,3\n', [(2, "unclosed_quote"), (3, ["b", "2"]), (4, ["c", "3"])]),
        ('a,"1\nb,"2\nc,3\n', [(2, "unclosed_quote"), (3, "unclosed_quote"), (4, ["c", "3"])]),
        ('a,"1"x\nb,2\n', [(2, "invalid_csv"), (3, ["b", "2"])]),
        ("a,1\rb\nb,2\n", [(2, "invalid_csv"), (3, ["b", "2"])]),
    ],
)
def test_a_broken_row_of_csv_spares_its_neighbours(
    tmp_path: Path, content: str, found: list[tuple[int, object]]
) -> None:
    assert outlines(all_rows(write(tmp_path, HEADER + content))) == found


def test_what_is_not_utf8_is_told_with_its_byte(tmp_path: Path) -> None:
    (broken, good) = all_rows(write(tmp_path, HEADER.encode() + b"z\xf6e,1\nb,2\n"))

    assert isinstance(broken, Broken)
    assert (broken.code, broken.reason) == ("not_utf8", "is not UTF-8 (byte 2)")
    assert isinstance(good, Row)


def test_a_row_that_is_too_long_is_skipped_to_its_end(tmp_path: Path) -> None:
    content = HEADER + "a," + "x" * (3 * LONGEST_ROW) + "\nb,2\n"

    (broken, good) = all_rows(write(tmp_path, content))

    assert outlines([broken, good]) == [(2, "row_too_large"), (3, ["b", "2"])]
    assert len(broken.raw or b"") == LONGEST_ROW


def test_a_quote_that_is_never_closed_does_not_swallow_the_file(tmp_path: Path) -> None:
    rows = "".join(f"u{number},1\n" for number in range(3 * MOST_LINES))

    found = all_rows(write(tmp_path, HEADER + 'a,"1\n' + rows))

    assert outlines(found)[0] == (2, "unclosed_quote")
    assert len(found) == 3 * MOST_LINES + 1
    assert all(isinstance(each, Row) for each in found[1:])


@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
@pytest.mark.parametrize("compressed", [False, True])
def test_a_mark_at_the_beginning_and_gzip_make_no_difference(
    tmp_path: Path, mark: bytes, *, compressed: bool
) -> None:
    content = mark + HEADER.encode() + b"a,1\n"
    path = write(tmp_path, gzip.compress(content) if compressed else content, "x.csv.gz")

    (row,) = all_rows(path)

    assert isinstance(row, Row)
    assert (row.line, row.values) == (2, {"customer": "a", "date": "1"})


@pytest.mark.parametrize(("name", "delimiter"), [("x.tsv", None), ("x.csv", "\t"), ("x.txt", "\t")])
def test_another_delimiter_is_taken(tmp_path: Path, name: str, delimiter: str | None) -> None:
    path = write(tmp_path, "customer\tdate\na\t1,5\n", name)

    rows = opened(path, file_format=None if name != "x.txt" else "csv", delimiter=delimiter)

    assert outlines(list(rows.read(None))) == [(2, ["a", "1,5"])]
    rows.close()


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "is empty: its first line must name the columns"),
        (b"\na,1\n", "must name the columns, and is blank"),
        (b"a,b,a\n", "has two columns of the name 'a'"),
        (b"\xff\xfea\x00", "is UTF-16"),
        (b"z\xf6e\n", "its first line, which names the columns, is not UTF-8"),
        (b'a,"b\n', "its first line, which names the columns, opens a quote"),
        (gzip.compress(b"a,b\n")[:12], "can't be read"),
    ],
)
def test_a_csv_file_whose_columns_are_not_known_is_refused(
    tmp_path: Path, content: bytes, reason: str
) -> None:
    with pytest.raises(Failed, match=reason):
        opened(write(tmp_path, content))


def test_a_file_of_no_known_kind_is_refused_until_it_is_named(tmp_path: Path) -> None:
    path = write(tmp_path, HEADER, "history.dat")

    with pytest.raises(Failed, match=r"--format csv\|tsv\|ndjson\|parquet"):
        opened(path)
    opened(path, file_format="csv").close()


# --- NDJSON ---


def test_broken_lines_of_ndjson_spare_their_neighbours(tmp_path: Path) -> None:
    lines = [
        b'{"a": 1}',
        b"",
        b'{"a": ',
        b"[1]",
        b'{"a": "\xff"}',
        b'{"a": NaN}',
        b'{"a": "\\ud800"}',
        b"[" * 100_000,
        b'{"a": ' + b"9" * LONGEST_ROW + b"}",
        b'  {"a": 2}\r',
    ]

    found = all_rows(write(tmp_path, b"\n".join(lines), "x.ndjson"))

    assert outlines(found) == [
        (1, [1]),
        (3, "invalid_json"),
        (4, "no_object"),
        (5, "not_utf8"),
        (6, "invalid_json"),
        (7, "invalid_json"),
        (8, "invalid_json"),
        (9, "row_too_large"),
        (10, [2]),
    ]


def test_the_columns_of_ndjson_are_the_names_of_its_first_rows(tmp_path: Path) -> None:
    path = write(tmp_path, '{"a": 1}\n{"b": {"c": 1}}\n', "x.jsonl")
    rows = opened(path)

    assert (list(rows.columns), rows.all_known) == (["a", "b"], False)
    assert len(list(rows.read(None))) == 2
    rows.close()


# --- Parquet ---


def parquet_file(directory: Path, columns: dict[str, Any], **options: Any) -> Path:
    pa = pytest.importorskip("pyarrow", reason="pyarrow is not installed: see docs/cli.md")
    from pyarrow import parquet  # noqa: PLC0415

    path = directory / "x.parquet"
    parquet.write_table(pa.table(columns), path, **options)
    return path


def test_values_of_parquet_keep_their_types(tmp_path: Path) -> None:
    at = datetime(2024, 3, 1, 12, tzinfo=UTC)
    columns: dict[str, list[Any]] = {
        "n": [1, None],
        "at": [at, at],
        "day": [date(2024, 3, 1), None],
        "price": [Decimal("1.50"), None],
        "who": [{"id": "ada"}, {"id": "bob"}],
    }

    first, second = all_rows(parquet_file(tmp_path, columns))

    assert isinstance(first, Row)
    assert first.values == {name: values[0] for name, values in columns.items()}
    assert outlines([second]) == [(2, [None, at, None, None, {"id": "bob"}])]


def test_nanoseconds_are_cut_to_microseconds(tmp_path: Path) -> None:
    pa = pytest.importorskip("pyarrow", reason="pyarrow is not installed: see docs/cli.md")
    column = pa.array([1_709_294_400_123_456_789], pa.timestamp("ns", tz="UTC"))

    (row,) = all_rows(parquet_file(tmp_path, {"at": column}))

    assert outlines([row]) == [(1, [datetime(2024, 3, 1, 12, 0, 0, 123_456, tzinfo=UTC)])]


def test_a_text_of_parquet_that_is_not_utf8_spares_its_neighbours(tmp_path: Path) -> None:
    pa = pytest.importorskip("pyarrow", reason="pyarrow is not installed: see docs/cli.md")
    texts = pa.array([b"ada", b"\xff", b"bob"], pa.binary()).view(pa.string())

    found = all_rows(parquet_file(tmp_path, {"who": texts}))

    assert outlines(found) == [(1, ["ada"]), (2, "not_utf8"), (3, ["bob"])]


def test_a_file_that_is_no_parquet_is_refused(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow", reason="pyarrow is not installed: see docs/cli.md")

    with pytest.raises(Failed, match="is no Parquet file that can be read"):
        opened(write(tmp_path, "customer,date\n", "x.parquet"))


@pytest.mark.parametrize("row", [0, 1, 3, 4, 7, 9, 10])
def test_parquet_is_read_from_any_row_on(tmp_path: Path, row: int) -> None:
    path = parquet_file(tmp_path, {"n": list(range(10))}, row_group_size=4)
    rows = opened(path)
    found = all_rows(path)

    begin = found[row - 1].end if row else None

    assert list(rows.read(begin)) == found[row:]
    rows.close()


# --- any place ---

lines = st.sampled_from(
    [b"a,1", b"", b'"b\nc",2', b"d", b"\xff,1", b'e,"3', b"f,4\r", b'"",""', b"g,5"]
)


@settings(max_examples=200, deadline=None)
@given(
    given_lines=st.lists(lines, max_size=12),
    data=st.data(),
    compressed=st.booleans(),
    ndjson=st.booleans(),
)
def test_what_is_read_in_two_parts_is_what_is_read_at_once(
    given_lines: list[bytes], data: st.DataObject, *, compressed: bool, ndjson: bool
) -> None:
    content = b"\n".join(given_lines)
    if ndjson:
        texts = (each.decode(errors="replace") for each in given_lines)
        content = "\n".join(json.dumps({"x": each}) if each else "" for each in texts).encode()
    content = content if ndjson else HEADER.encode() + content
    name = "x.ndjson" if ndjson else "x.csv"
    with tempfile.TemporaryDirectory() as directory:
        path = write(Path(directory), gzip.compress(content) if compressed else content, name)
        found = all_rows(path)
        cut = data.draw(st.integers(0, len(found)))
        rows = opened(path)

        again = list(rows.read(found[cut - 1].end if cut else None))
        rows.close()

        assert again == found[cut:]
