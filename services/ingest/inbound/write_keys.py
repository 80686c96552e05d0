"""Which source a request comes from, by its write key."""

import base64
import binascii
import hashlib
import hmac
from collections.abc import Mapping


class WriteKeys:
    """The keys of all sources, kept as sha256 only."""

    def __init__(self, keys: Mapping[str, str]) -> None:
        """`keys`: write key → source."""
        self._sources = [(_digest(key), source) for key, source in keys.items()]

    def source_of(self, key: str) -> str | None:
        """Return the source, or None. Takes as long whichever key it is, known or not."""
        given = _digest(key)
        found = None
        for digest, source in self._sources:
            if hmac.compare_digest(digest, given):
                found = source
        return found


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


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode("utf-8", errors="surrogatepass")).digest()
