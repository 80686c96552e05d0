"""A body is cut into its events whatever they hold, and never into others."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.ingest.inbound.splitting import MOST_TOKENS, split

texts = st.text(alphabet='ab"\\{}[],: \n😀', max_size=8)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=12,
)


@given(st.lists(values, max_size=6), st.sampled_from([None, 1, "\t"]))
def test_a_list_is_cut_into_its_elements(elements: list[Any], indent: int | str | None) -> None:
    found = split(json.dumps(elements, indent=indent).encode(), parts=None)

    assert found is not None
    assert [json.loads(each) for each in found.events] == elements
    assert json.loads(found.around) == []


@given(st.dictionaries(texts, values, max_size=4), st.lists(values, max_size=6))
def test_the_list_of_an_object_is_cut_and_the_rest_stays(
    others: dict[str, Any], elements: list[Any]
) -> None:
    body = {**others, "batch": elements, "x": {"batch": [1]}}

    found = split(json.dumps(body).encode(), parts="batch")

    assert found is not None
    assert [json.loads(each) for each in found.events] == elements
    assert json.loads(found.around) == {**body, "batch": []}


@pytest.mark.parametrize(
    "body",
    [b"", b"{}", b"[1, 2", b'{"batch": 3}', b'{"batch": [1', b'{"x": {"batch": [1]}}', b'"[1]"'],
)
def test_where_there_is_no_whole_list_there_is_nothing_to_cut(body: bytes) -> None:
    assert split(body, parts="batch") is None
    assert body[:1] == b"[" or split(body, parts=None) is None


def test_an_event_may_be_deeper_than_any_reader_goes() -> None:
    deep = b"[" * 200_000 + b"]" * 200_000

    found = split(b'{"batch":[{"a":1},' + deep + b', {"b":2}]}', parts="batch")

    assert found is not None
    assert found.events == [b'{"a":1}', deep, b'{"b":2}']


def test_a_body_of_nothing_but_brackets_is_left_alone() -> None:
    assert split(b"[" + b"[]," * MOST_TOKENS + b"[]]", parts=None) is None


@pytest.mark.parametrize(
    "body",
    [
        b"[" + b'"' * 400_001,
        b"[" + b'"\\' * 400_000,
        b'["' + b"\\" * 400_001,
        b'["' + b"x" * 400_000,
    ],
    ids=["quotes", "escaped quotes", "backslashes", "a long text"],
)
def test_a_text_that_does_not_end_is_read_once(body: bytes) -> None:
    # Read again from each quote, a body of 400 kB would take minutes: the test's own time limit tells.
    assert split(body, parts=None) is None


@given(st.binary(max_size=60))
def test_no_bytes_make_it_fail(body: bytes) -> None:
    for parts in (None, "batch"):
        found = split(body, parts=parts)
        assert found is None or len(b"".join(found.events)) <= len(body)
