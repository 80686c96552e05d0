"""Where a request carries its write key, when not in its body."""

import base64
import binascii
from collections.abc import Mapping


def key_in_headers(headers: Mapping[bytes, bytes]) -> str | None:
    """Return the key from `Authorization: Basic <key>:` or `Bearer <key>`, or None."""
    scheme, _, word = headers.get(b"authorization", b"").partition(b" ")
    if scheme.lower() == b"bearer":
        return word.strip().decode("latin-1") or None
    if scheme.lower() != b"basic":
        return None
    try:
        decoded = base64.b64decode(word.strip(), validate=True)
    except binascii.Error:
        return None
    return decoded.partition(b":")[0].decode("latin-1") or None
