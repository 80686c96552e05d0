"""Reads a request's body within its bounds, and inflates it within others."""

import zlib
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from dataclasses import dataclass
from typing import Any

Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]

_GZIP_MAGIC = b"\x1f\x8b"
_GZIP = 16 + zlib.MAX_WBITS
_PIECE = 256 * 1024


@dataclass(frozen=True, slots=True)
class BodyLimits:
    """Bytes of a body on the wire and after inflating."""

    wire: int
    inflated: int = 5 * 1024 * 1024


class BodyRefused(Exception):
    """A body that is not taken: the status, a code and why. `seen` is what came of it."""

    def __init__(self, status: int, code: str, message: str, *, seen: bytes = b"") -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
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
        raise BodyRefused(400, "unknown_encoding", f"content encoding {name!r}", seen=wire)
    # By header or by its first bytes: some SDKs compress and do not say so.
    if encoding in (b"gzip", b"x-gzip") or wire.startswith(_GZIP_MAGIC):
        return _inflate(wire, limit=limits.inflated)
    return wire


async def _read_wire(receive: Receive, headers: Mapping[bytes, bytes], *, limit: int) -> bytes:
    declared = headers.get(b"content-length", b"0")
    if declared.isdigit() and int(declared) > limit:
        raise BodyRefused(413, "body_too_large", f"a body has at most {limit} bytes here")
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
                f"a body has at most {limit} bytes here",
                seen=b"".join([*pieces, piece]),
            )
        pieces.append(piece)
        if not message.get("more_body", False):
            return pieces[0] if len(pieces) == 1 else b"".join(pieces)


def _inflate(wire: bytes, *, limit: int) -> bytes:
    """Inflate no further than the limit: a bomb costs `limit` bytes, not what it claims to be."""
    inflater = zlib.decompressobj(_GZIP)
    pieces: list[bytes] = []
    size = 0
    rest = wire
    try:
        while rest and not inflater.eof:
            piece = inflater.decompress(rest, _PIECE)
            rest = inflater.unconsumed_tail
            size += len(piece)
            if size > limit:
                raise BodyRefused(
                    413, "body_too_large", f"inflates to more than {limit} bytes", seen=wire
                )
            pieces.append(piece)
    except zlib.error as error:
        raise BodyRefused(400, "invalid_gzip", f"not gzip: {error}", seen=wire) from None
    if not inflater.eof:
        raise BodyRefused(400, "invalid_gzip", "not gzip: it ends too early", seen=wire)
    return b"".join(pieces)
