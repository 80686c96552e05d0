"""Brokers of one's own: the first one's data directory is formatted, the others get what came of it.

To format takes a second of Java each time, and what it writes says nothing about ports or places.
"""

from pathlib import Path

from deploy.local.broker import LocalBroker

_formatted: dict[Path, bytes] = {}


def format_quickly(broker: LocalBroker) -> None:
    """Do what `format` does, by Java once for the session. Belongs on the main thread."""
    for name, content in _formatted.items():
        path = broker.data / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    if not _formatted:
        broker.format()
        _formatted.update(
            (path.relative_to(broker.data), path.read_bytes())
            for path in broker.data.rglob("*")
            if path.is_file()
        )
