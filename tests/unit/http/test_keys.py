"""Keys: known by their digest, compared one by one in constant time."""

import hmac
import sys
from types import FrameType
from typing import Any

import pytest

from shared.http.keys import KeyBook

KEYS = {"key-of-the-web-app": "web", "key-of-the-phone": "phone", "another-of-the-web": "web"}


@pytest.mark.parametrize(("key", "name"), KEYS.items())
def test_a_key_has_its_name(key: str, name: str) -> None:
    assert KeyBook(KEYS).name_of(key) == name


@pytest.mark.parametrize(
    "key",
    [
        "",
        "web",
        "key-of-the-web-ap",
        "key-of-the-web-app ",
        "KEY-OF-THE-WEB-APP",
        "key\x00",
        "\ud800",
        "é" * 10_000,
    ],
)
def test_anything_else_has_none(key: str) -> None:
    assert KeyBook(KEYS).name_of(key) is None


def test_without_keys_nothing_is_known() -> None:
    assert KeyBook({}).name_of("") is None


@pytest.mark.parametrize("key", [*KEYS, "unknown"])
def test_every_key_is_compared_whichever_is_given(key: str) -> None:
    book = KeyBook(KEYS)
    compared = 0

    def watch(_frame: FrameType, event: str, called: Any) -> None:
        nonlocal compared
        compared += event == "c_call" and called is hmac.compare_digest

    sys.setprofile(watch)
    try:
        book.name_of(key)
    finally:
        sys.setprofile(None)

    assert compared == len(KEYS)


def test_the_keys_themselves_are_not_kept() -> None:
    kept = repr(vars(KeyBook(KEYS)))

    assert not any(key in kept for key in KEYS)
