"""How a target knows that a notice comes from here and is not an old one sent again."""

import hashlib
import hmac

SCHEME = "v1"


def sign(body: bytes, *, timestamp: int, secret: bytes) -> str:
    """Return the signature of the body at this time: `v1=` and HMAC-SHA256 of `timestamp.body`."""
    signed = str(timestamp).encode() + b"." + body
    return f"{SCHEME}={hmac.new(secret, signed, hashlib.sha256).hexdigest()}"
