"""Where a user came from and on what: the channel and platform that their first event names."""

from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import NamedTuple
from urllib.parse import urlsplit

import msgspec

UNKNOWN = "unknown"
LONGEST_CHANNEL = 64


class Origin(NamedTuple):
    """What a user is counted under besides the whole. A tuple, because it is part of every cell's key."""

    channel: str = UNKNOWN
    platform: str = UNKNOWN


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
        channel, platform = _campaign(context) or _referrer(context), _platform(context)
        if channel is not None and platform is not None:
            return Origin(channel, platform)
        properties = _mapping(_anything(given.properties))
    except _UNREADABLE:
        return Origin()
    channel = channel or _text(properties.get("utm_source"))
    channel = channel or _host(properties.get("$referrer"), _text(properties.get("$host")))
    platform = platform or _platform_of(
        properties.get("$device_type"), properties.get("$os"), properties.get("$lib")
    )
    return Origin(channel or UNKNOWN, platform or UNKNOWN)


def _campaign(context: Mapping[object, object]) -> str | None:
    return _text(_mapping(context.get("campaign")).get("source"))


def _referrer(context: Mapping[object, object]) -> str | None:
    """Return the site that led here; from one page to the next of the same site is no referral."""
    page = _mapping(context.get("page"))
    here = _host(page.get("url"), None)
    referrer = _mapping(context.get("referrer")).get("url")
    return _host(referrer, here) or _host(page.get("referrer"), here)


def _platform(context: Mapping[object, object]) -> str | None:
    device, system, library = (
        _mapping(context.get(part)).get(name)
        for part, name in (("device", "type"), ("os", "name"), ("library", "name"))
    )
    return _platform_of(device, system, library)


def _platform_of(*given: object) -> str | None:
    """Return the platform that a device's type, a system's and a library's name mean."""
    named = [each if isinstance(each, str) else None for each in given]
    return _platform_named(*(None if each is None else each[:LONGEST_CHANNEL] for each in named))


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


def _host(given: object, here: str | None) -> str | None:
    """Return the host of an address, None where there is none or it is the page's own."""
    if not isinstance(given, str):
        return None
    try:
        host = urlsplit(given.strip()).hostname
    except ValueError:
        return None
    name = _text((host or "").removeprefix("www."))
    return None if name is None or name == (here or "").removeprefix("www.") else name


def _text(given: object) -> str | None:
    """Return a text as a value to count under: short, in lower case, and such as a table can hold."""
    if not isinstance(given, str):
        return None
    text = "".join(filter(str.isprintable, given[: 4 * LONGEST_CHANNEL])).strip().lower()
    return text[:LONGEST_CHANNEL].strip() or None


def _mapping(given: object) -> Mapping[object, object]:
    return given if isinstance(given, dict) else {}
