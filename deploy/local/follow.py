"""Read what programs write to their logs, as it comes, to show it with a prefix."""

from collections.abc import Iterator
from pathlib import Path


class LogFollower:
    """Gives the new whole lines of a set of logs each time it is asked."""

    def __init__(self) -> None:
        self._places: dict[Path, int] = {}
        self._names: dict[Path, str] = {}

    def follow(self, name: str, log: Path) -> None:
        """Begin with what is written from now on."""
        if log not in self._names:
            self._names[log] = name
            self._places[log] = log.stat().st_size if log.exists() else 0

    def new_lines(self) -> Iterator[tuple[str, str]]:
        """Give (name, line) for everything written since the last call."""
        for log, place in self._places.items():
            if not log.exists():
                continue
            with log.open("rb") as file:
                file.seek(place)
                whole, newline, _ = file.read().rpartition(b"\n")
            self._places[log] = place + len(whole) + len(newline)
            for line in whole.splitlines():
                yield self._names[log], line.decode(errors="replace")
