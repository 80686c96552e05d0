"""Cursors: where a page ended, as an opaque text that comes back to ask for the next."""

import base64
import binascii
import json
from collections.abc import Sequence


class BadCursor(ValueError):
    """The text is not a cursor that this list gave out."""


def write_cursor(listing: str, key: Sequence[str]) -> str:
    """Return the cursor behind the row with this key of the named list."""
    text = json.dumps([listing, *key], separators=(",", ":"))
    return base64.urlsafe_b64encode(text.encode()).rstrip(b"=").decode()


def read_cursor(listing: str, cursor: str, *, parts: int) -> list[str]:
    """Return the key, which has that many parts. Raises BadCursor."""
    try:
        padded = cursor.encode("ascii") + b"=" * (-len(cursor) % 4)
        found = json.loads(base64.urlsafe_b64decode(padded))
    except (UnicodeError, binascii.Error, ValueError, RecursionError):
        raise BadCursor("is not a cursor") from None
    if not isinstance(found, list) or not all(isinstance(each, str) for each in found):
        raise BadCursor("is not a cursor")
    if len(found) != parts + 1 or found[0] != listing or not all(map(_is_storable, found)):
        raise BadCursor("is a cursor of another list")
    return found[1:]


def _is_storable(text: str) -> bool:
    """Say whether a row could have this text: JSON can spell what no row holds."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return "\x00" not in text
