"""Secret keys and the names behind them, compared in constant time."""

import hashlib
import hmac
from collections.abc import Mapping


class KeyBook:
    """Knows keys by their sha256 only: a random key needs no slow hash."""

    def __init__(self, keys: Mapping[str, str]) -> None:
        """`keys`: key → name."""
        self._names = [(_digest(key), name) for key, name in keys.items()]

    def name_of(self, key: str) -> str | None:
        """Return the name, or None. Takes as long whichever key it is, known or not."""
        given = _digest(key)
        found = None
        for digest, name in self._names:
            if hmac.compare_digest(digest, given):
                found = name
        return found


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode("utf-8", errors="surrogatepass")).digest()
