"""Where ingest and the api are, and the keys to them: as named, or of the run on this machine."""

from collections.abc import Callable
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from deploy.cli.exits import Failed
from deploy.local.state import RunInfo, State, state_directory


@dataclass(frozen=True, slots=True)
class Place:
    """An address and the key to it, which no repr shows."""

    url: str
    key: str = field(repr=False)


def ingest_place(url: str | None, key: str | None) -> Place:
    """Return where events go. Raises Failed."""
    return _named(url, key, "--url or EBBTIDE_INGEST_URL", "--write-key or EBBTIDE_WRITE_KEY") or (
        _local(lambda run: Place(run.ingest_url, run.write_key), "EBBTIDE_INGEST_URL")
    )


def api_place(url: str | None, key: str | None) -> Place:
    """Return where questions go. Raises Failed."""
    return _named(url, key, "--url or EBBTIDE_API_URL", "--api-key or EBBTIDE_API_KEY") or (
        _local(lambda run: Place(run.api_url, run.api_key), "EBBTIDE_API_URL")
    )


def _named(url: str | None, key: str | None, url_words: str, key_words: str) -> Place | None:
    if not url and not key:
        return None
    if not url:
        raise Failed(f"there is a key, and no address: name it by {url_words}")
    if not key:
        raise Failed(f"there is an address, and no key to it: give it by {key_words}")
    try:
        parts = urlsplit(url)
        usable = parts.scheme in {"http", "https"} and parts.hostname and parts.port != 0
    except ValueError:
        usable = False
    if not usable:
        raise Failed(f"{url!r} is no address such as http://127.0.0.1:8100")
    try:
        key.encode("ascii")
    except UnicodeEncodeError:
        raise Failed(f"the key given by {key_words} holds characters that no key has") from None
    return Place(url.rstrip("/"), key)


def _local(place: Callable[[RunInfo], Place], variable: str) -> Place:
    run = State(state_directory()).read_run()
    if run is None:
        raise Failed(
            f"no system is named by {variable}, and none runs on this machine (`make run`)"
        )
    return place(run)
