"""Product time: the injected clock that dates receipts, tiers, deadlines and alerts.

Lease time is not here: it is the database's own clock, and decides only who works on what.
"""

import json
import math
import os
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Protocol

# Product time stays between these two: what lies outside is a slip of the pen, or overflows.
EARLIEST = datetime(1970, 1, 1, tzinfo=UTC)
LATEST = datetime(2200, 1, 1, tzinfo=UTC)
FASTEST = 1_000_000.0


class Clock(Protocol):
    """Where a service learns what time it is."""

    def now(self) -> datetime:
        """Return product time as an aware UTC instant. Never blocks for long, never raises."""
        ...


class SystemClock:
    """Product time is the machine's time: the only clock allowed in production."""

    def now(self) -> datetime:
        return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class Drive:
    """How product time runs: it was `product` at the machine's `system`, and passes `rate` times as fast.

    A rate of 0 stops product time; 1 lets it run on, shifted. Time that gets to `LATEST` stands.
    Raises ValueError where an instant or the rate is out of bounds.
    """

    product: datetime
    system: datetime
    rate: float = 1.0

    def __post_init__(self) -> None:
        if not (math.isfinite(self.rate) and 0 <= self.rate <= FASTEST):
            raise ValueError(f"{self.rate} is not a rate from 0 to {FASTEST:,.0f}")
        for instant in (self.product, self.system):
            if not EARLIEST <= instant <= LATEST:
                raise ValueError(f"{instant} is not between {EARLIEST:%Y} and {LATEST:%Y}")

    def at(self, system: datetime) -> datetime:
        """Return product time at the machine's time `system`."""
        passed = system - self.system
        try:
            return min(max(self.product + passed * self.rate, EARLIEST), LATEST)
        except OverflowError:
            return LATEST if passed > timedelta(0) else EARLIEST


class DrivenClock:
    """Product time follows a small file, so that one writer drives every process together.

    While the file does not exist, product time is the machine's time. The file is replaced
    atomically (`write_drive`), noticed by its identity at the next call, and a file that cannot be
    read leaves the last known drive in force: a clock must not stop a service.
    """

    def __init__(self, path: Path, *, system: Clock | None = None) -> None:
        self._path = path
        self._system: Callable[[], datetime] = (system or SystemClock()).now
        self._stamp: tuple[int, int] | None = None
        self._drive: Drive | None = None

    def now(self) -> datetime:
        self._follow_file()
        system = self._system()
        return system if self._drive is None else self._drive.at(system)

    def _follow_file(self) -> None:
        try:
            stat = os.stat(self._path)  # noqa: PTH116  the hot path: half the cost of Path.stat
        except FileNotFoundError:
            self._stamp, self._drive = None, None
            return
        except OSError:  # there may be one, where we can't look
            return
        stamp = (stat.st_ino, stat.st_mtime_ns)
        if stamp != self._stamp:
            self._stamp = stamp
            self._drive = read_drive(self._path) or self._drive


def clock_from(path: Path | None) -> Clock:
    """Return the clock that a service's `clock_file` setting asks for."""
    return SystemClock() if path is None else DrivenClock(path)


def read_drive(path: Path) -> Drive | None:
    """Return the drive in the file, or None where there is none to be read, or one that can't be."""
    try:
        fields = json.loads(path.read_text())
        return Drive(
            product=datetime.fromisoformat(fields["product"]).astimezone(UTC),
            system=datetime.fromisoformat(fields["system"]).astimezone(UTC),
            rate=float(fields["rate"]),
        )
    except (OSError, ValueError, KeyError, TypeError, OverflowError):
        return None


def write_drive(path: Path, drive: Drive) -> None:
    """Put the drive in force for every process that follows this file, all at once."""
    fields = {
        "product": drive.product.isoformat(),
        "system": drive.system.isoformat(),
        "rate": drive.rate,
    }
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    draft.write_text(json.dumps(fields))
    draft.replace(path)
