"""Ports on the loopback address: the wanted one where it is free, else the next free one.

All lie below 32768: above, the kernel hands them out to outgoing connections, and a server that
was restarted can find its own port taken.
"""

import random
import socket
from collections.abc import Container

HIGHEST = 32_767
_FREE_FROM, _FREE_TO = 20_000, 32_000


def is_free(port: int) -> bool:
    """Tell whether a server may listen there."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def next_free(wanted: int, *, taken: Container[int] = ()) -> int:
    """Return the first free port from `wanted` on."""
    for port in range(wanted, HIGHEST + 1):
        if port not in taken and is_free(port):
            return port
    raise OSError(f"no free port between {wanted} and {HIGHEST}")


def any_free() -> int:
    """Return a free port that another process is unlikely to look for at the same moment."""
    return next_free(somewhere())


def somewhere() -> int:
    """Return a place to begin looking for a free port."""
    return random.randrange(_FREE_FROM, _FREE_TO)  # noqa: S311  no secret
