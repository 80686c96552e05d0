"""Where a user came from and on what: the channel and platform that their first event names."""

from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import NamedTuple
from urllib.parse import urlsplit

import msgspec

UNKNOWN = "unknown"
# What all channels are counted as that are not told apart.
OTHER = "other"
LONGEST_CHANNEL = 64


class Origin(NamedTuple):
    """What a user is counted under besides the whole. A tuple, because it is part of every cell's key."""

    channel: str = UNKNOWN
    platform: str = UNKNOWN


def least(origins: Sequence[Origin]) -> Origin:
    """Return which of the origins of a user's first events they are counted under, where several name one.

    The last of all is `other`: so it does not matter how the rest are decided once the least is told apart.
    """
    return origins[0] if len(origins) == 1 else min(origins, key=_rank)


def _rank(origin: Origin) -> tuple[bool, Origin]:
    return origin.channel == OTHER, origin


class _Payload(msgspec.Struct):
    """What of a client's event is looked at. Properties only where the context says too little."""

    context: object = None
    properties: msgspec.Raw = msgspec.Raw(b"null")


_payload = msgspec.json.Decoder(_Payload).decode
_anything = msgspec.json.Decoder().decode
_UNREADABLE = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)

_Words = Mapping[str, Iterable[str]]

# What a name that begins with one of these words says.
_DEVICES: _Words = {
    "web": ("web", "browser"),
    "ios": ("ios", "iphone", "ipad"),
    "android": ("android",),
    "desktop": ("desktop", "mac", "windows", "linux"),
    "server": ("server",),
}
_BROWSER_LIBRARIES: _Words = {"web": ("analytics.js", "web", "rudderlabs javascript")}
_SYSTEMS: _Words = {
    "ios": ("ios", "ipados", "iphone"),
    "android": ("android",),
    "desktop": ("mac", "os x", "windows", "linux", "chrome os", "chromeos", "ubuntu"),
}
_LIBRARIES: _Words = {
    "ios": ("analytics-ios", "analytics-swift", "posthog-ios", "rudder-ios"),
    "android": ("analytics-android", "analytics-kotlin", "posthog-android", "rudder-android"),
    "server": (
        *("analytics-python", "analytics-node", "analytics-java", "analytics-go", "analytics-ruby"),
        *("analytics-php", "@segment/analytics-node", "segment-analytics-python", "posthog-"),
        *("rudder-sdk", "rudderlabs rudder-sdk", "@rudderstack/rudder-sdk-node"),
    ),
}


def origin_of(payload: bytes | bytearray | memoryview) -> Origin:
    """Return the origin that a client's event names; unknown is what it does not name. Never raises."""
    try:
        given = _payload(payload)
        context = _mapping(given.context)
        channel = _text(_named(context, "campaign", "source")) or _referrer(context)
        platform = _platform_of(
            _named(context, "device", "type"),
            _named(context, "os", "name"),
            _named(context, "library", "name"),
        )
        if channel is not None and platform is not None:
            return Origin(channel, platform)
        properties = _mapping(_anything(given.properties))
    except _UNREADABLE:
        return Origin()
    channel = (
        channel
        or _text(properties.get("utm_source"))
        or _other(_host(properties.get("$referrer")), _text(properties.get("$host")))
    )
    platform = platform or _platform_of(
        properties.get("$device_type"), properties.get("$os"), properties.get("$lib")
    )
    return Origin(channel or UNKNOWN, platform or UNKNOWN)


def _referrer(context: Mapping[object, object]) -> str | None:
    """Return the site that led here; from one page to the next of the same site is no referral."""
    if "page" not in context and "referrer" not in context:
        return None  # as what apps and servers send
    sites = _host(_named(context, "referrer", "url")), _host(_named(context, "page", "referrer"))
    if sites == (None, None):
        return None
    here = _host(_named(context, "page", "url"))
    return _other(sites[0], here) or _other(sites[1], here)


def _other(site: str | None, here: str | None) -> str | None:
    """Return the site unless it is the page's own."""
    return None if here is not None and site == here.removeprefix("www.") else site


def _platform_of(device: object, system: object, library: object) -> str | None:
    """Return the platform that a device's type, a system's and a library's name mean."""
    if device is None and system is None and library is None:
        return None
    return _platform_named(_short(device), _short(system), _short(library))


def _short(given: object) -> str | None:
    return given[:LONGEST_CHANNEL] if isinstance(given, str) else None


@lru_cache(maxsize=1024)  # few ever come, and each is looked up in several lists
def _platform_named(device: str | None, system: str | None, library: str | None) -> str | None:
    """A page in a browser is the web, whatever the system under it."""
    return (
        _meant(library, _BROWSER_LIBRARIES)
        or _meant(device, _DEVICES)
        or _meant(system, _SYSTEMS)
        or _meant(library, _LIBRARIES)
    )


def _meant(given: object, words: _Words) -> str | None:
    text = _text(given)
    if text is None:
        return None
    return next((name for name, begins in words.items() if text.startswith(tuple(begins))), None)


def _host(given: object) -> str | None:
    """Return the host of an address, None where there is none."""
    if not isinstance(given, str) or not given:
        return None
    try:
        host = urlsplit(given.strip()).hostname
    except ValueError:
        return None
    return _text((host or "").removeprefix("www."))


def _text(given: object) -> str | None:
    """Return a text as a value to count under: short, in lower case, and such as a table can hold."""
    if not isinstance(given, str):
        return None
    text = given[: 4 * LONGEST_CHANNEL]
    if not text.isprintable():
        text = "".join(filter(str.isprintable, text))
    return text.strip().lower()[:LONGEST_CHANNEL].strip() or None


def _named(context: Mapping[object, object], part: str, name: str) -> object:
    """Return what a part of the context says under a name, None where it says nothing."""
    given = context.get(part)
    return given.get(name) if isinstance(given, dict) else None


def _mapping(given: object) -> Mapping[object, object]:
    return given if isinstance(given, dict) else {}
