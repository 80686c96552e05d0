"""Which addresses a notice may be sent to: nothing that only the inside of a network can reach."""

from collections.abc import Iterator
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address, ip_network
from urllib.parse import urlsplit

_NAT64 = IPv6Network("64:ff9b::/96")
# What `is_global` misses, in some or in all versions of Python.
_REFUSED = (
    ip_network("168.63.129.16/32"),  # Azure's host agent, at a public address
    ip_network("192.0.0.0/24"),  # protocol assignments; Oracle's metadata service
    ip_network("192.88.99.0/24"),  # relays of 6to4
    ip_network("64:ff9b:1::/48"),  # translation inside a network
    ip_network("fec0::/10"),  # the former private range
)


def why_url_refused(url: str, *, allow_local: bool) -> str | None:
    """Return what is wrong with a target's address as configured, or None."""
    try:
        parts = urlsplit(url)
        port_is_valid = parts.port is None or parts.port > 0
    except ValueError as error:
        return str(error)
    if parts.scheme != "https" and not (allow_local and parts.scheme == "http"):
        return "must begin with https://"
    if not parts.hostname or not port_is_valid:
        return "names no host"
    if parts.username is not None or parts.password is not None:
        return "must not carry a user or a password"
    return "must not carry a fragment" if parts.fragment else None


def why_address_refused(address: str) -> str | None:
    """Return why no connection may be made to this numeric address, or None.

    An address that carries another one inside (mapped, translated or tunnelled) is judged by both.
    """
    try:
        outer = ip_address(address)
    except ValueError:
        return "is not an address"
    for candidate in (outer, *_inside(outer)):
        # Multicast counts as global in the registry, yet no web server has such an address.
        refused = any(candidate in network for network in _REFUSED)
        if refused or not candidate.is_global or candidate.is_multicast:
            return "is not a public address"
    return None


def _inside(address: IPv4Address | IPv6Address) -> Iterator[IPv4Address]:
    if isinstance(address, IPv4Address):
        return
    carried = (address.ipv4_mapped, address.sixtofour, *(address.teredo or ()))
    yield from (inner for inner in carried if inner is not None)
    if address in _NAT64:
        yield IPv4Address(int(address) & 0xFFFF_FFFF)
