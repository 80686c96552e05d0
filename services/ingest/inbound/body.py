"""Reads a request's body within its bounds, and inflates it within others."""

import zlib
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from dataclasses import dataclass
from typing import Any

from services.ingest.domain.verdict import Refusal

Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]

_GZIP_MAGIC = b"\x1f\x8b"
_GZIP = 16 + zlib.MAX_WBITS
_FEED = 16 * 1024
_PIECE = 256 * 1024


@dataclass(frozen=True, slots=True)
class BodyLimits:
    """Bytes of a body on the wire and after inflating."""

    wire: int
    inflated: int = 5 * 1024 * 1024


class BodyRefused(Exception):
    """A body that is not taken: the status, and why. `seen` is what came of it."""

    def __init__(
        self, status: int, code: str, reason: str, *, field: str | None = None, seen: bytes = b""
    ) -> None:
        super().__init__(reason)
        self.status = status
        self.refusal = Refusal(code, field, reason)
        self.seen = seen


class ClientLeft(Exception):
    """The connection closed before the body was complete: there is nobody to answer."""


async def read_body(
    receive: Receive, headers: Mapping[bytes, bytes], *, limits: BodyLimits
) -> bytes:
    """Return the whole body, inflated if it is gzip. Raises BodyRefused, ClientLeft."""
    wire = await _read_wire(receive, headers, limit=limits.wire)
    encoding = headers.get(b"content-encoding", b"").strip().lower()
    if encoding not in (b"", b"identity", b"gzip", b"x-gzip"):
        name = encoding[:40].decode("latin-1")
        raise BodyRefused(
            400, "unknown_encoding", f"has a Content-Encoding that is not gzip: {name!r}", seen=wire
        )
    # By header or by its first bytes: some SDKs compress and do not say so.
    if wire and (encoding in (b"gzip", b"x-gzip") or wire.startswith(_GZIP_MAGIC)):
        return _inflate(wire, limit=limits.inflated)
    return wire


async def _read_wire(receive: Receive, headers: Mapping[bytes, bytes], *, limit: int) -> bytes:
    declared = headers.get(b"content-length", b"0")
    if declared.isdigit() and int(declared) > limit:
        raise BodyRefused(413, "body_too_large", f"has more than {limit} bytes")
    pieces: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientLeft
        piece = message.get("body", b"")
        size += len(piece)
        if size > limit:
            raise BodyRefused(
                413,
                "body_too_large",
                f"has more than {limit} bytes",
                seen=b"".join([*pieces, piece]),
            )
        pieces.append(piece)
        if not message.get("more_body", False):
            return pieces[0] if len(pieces) == 1 else b"".join(pieces)


def _inflate(wire: bytes, *, limit: int) -> bytes:
    """Inflate all members, no further than the limit: a bomb costs `limit` bytes, not what it claims."""
    inflater = zlib.decompressobj(_GZIP)
    pieces: list[bytes] = []
    size = 0
    try:
        # A little at a time: what is left behind a member is copied, and there may be many.
        for start in range(0, len(wire), _FEED):
            rest = wire[start : start + _FEED]
            while rest:
                if inflater.eof:
                    inflater = zlib.decompressobj(_GZIP)
                piece = inflater.decompress(rest, _PIECE)
                rest = inflater.unconsumed_tail or inflater.unused_data
                size += len(piece)
                if size > limit:
                    raise BodyRefused(
                        413, "body_too_large", f"inflates to more than {limit} bytes", seen=wire
                    )
                pieces.append(piece)
    except zlib.error:
        raise BodyRefused(400, "invalid_gzip", "is not gzip to its end", seen=wire) from None
    if not inflater.eof:
        raise BodyRefused(400, "invalid_gzip", "is gzip that ends too early", seen=wire)
    return b"".join(pieces)
