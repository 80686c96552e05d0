"""The purchases of CDNOW, a real shop, from January 1997 to June 1998.

The file comes with the `lifetimes` package, which is only looked up, never imported. Source: Fader
and Hardie, "Notes on the CDNOW Master Data Set" (2001).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

PACKAGE = "lifetimes"
MASTER, SAMPLE = "CDNOW_master.txt", "CDNOW_sample.txt"
# The file knows days only.
HOUR = time(12, tzinfo=UTC)


class NoData(Exception):
    """The file is not installed; the message says how to get it."""


@dataclass(frozen=True, slots=True, order=True)
class Purchase:
    """One order: `dollars` is what it cost in all. `number` tells a customer's orders apart."""

    day: date
    customer: str
    number: int
    discs: int
    dollars: float

    @property
    def at(self) -> datetime:
        return datetime.combine(self.day, HOUR)


def purchases(*, sample: bool) -> list[Purchase]:
    """Return the purchases in the order of their days. Raises NoData."""
    try:
        folder = distribution(PACKAGE).locate_file("lifetimes/datasets")
    except PackageNotFoundError:
        raise NoData(f"{PACKAGE} is not installed: `make demo DATA=cdnow` installs it") from None
    lines = Path(str(folder), SAMPLE if sample else MASTER).read_text().splitlines()
    return sorted(_parse(lines, skipped=1 if sample else 0))


def _parse(lines: list[str], *, skipped: int) -> Iterator[Purchase]:
    """Yield the purchases; the sample has a second customer number, which is skipped."""
    seen: dict[str, int] = {}
    for line in lines:
        customer, *more = line.split()
        if not customer.isdigit():
            continue  # the master's headings
        day, discs, dollars = more[skipped:]
        seen[customer] = seen.get(customer, 0) + 1
        yield Purchase(
            datetime.strptime(day, "%Y%m%d").replace(tzinfo=UTC).date(),
            customer,
            seen[customer],
            int(discs),
            float(dollars),
        )
