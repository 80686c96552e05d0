"""When an event really happened, given that the client's clock may be wrong."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from shared.instants import read_iso

# Shorter than this it is the network's delay, not a wrong clock. Left alone, so that an event that is sent
# again has the same timestamp again.
LATENCY = timedelta(seconds=5)
# A clock that is wrong by more is not believed at all: the event keeps its own time.
PLAUSIBLE = timedelta(hours=24)
# How far ahead of its receipt an event may claim to be.
FUTURE = timedelta(minutes=10)
_FIRST_YEAR = 1970
# A number of milliseconds that lies before is taken for one of seconds: those of all years up to 2100
# read as milliseconds of 1970.
_FIRST_YEAR_IN_MILLISECONDS = 1990

SKEW_CORRECTED = "skew_corrected"
SKEW_IMPLAUSIBLE = "skew_implausible"
CLAMPED_FUTURE = "clamped_future"
NO_TIMESTAMP = "no_timestamp"


@dataclass(frozen=True, slots=True)
class Receipt:
    """When a request came: in product time, and by the machine's clock.

    They differ only where product time is driven. A client's clock is compared with the nearer one.
    """

    product: datetime
    machine: datetime


def happened_at(
    original: datetime | None, sent_at: datetime | None, receipt: Receipt
) -> tuple[datetime, tuple[str, ...]]:
    """Return the corrected timestamp and the flags that say what was done.

    `timestamp = receipt - (sent_at - original)` (Segment's rule), applied where the skew is more
    than the network's delay and less than a day.
    """
    if original is None:
        return receipt.product, (NO_TIMESTAMP,)
    corrected, flags = _without_skew(original, sent_at, receipt)
    if corrected > receipt.product + FUTURE:
        return receipt.product, (*flags, CLAMPED_FUTURE)
    return corrected, flags


def parse_instant(value: object) -> datetime | None:
    """Return the instant that a client wrote (ISO 8601, or milliseconds since 1970), or None.

    One without an offset is UTC. What lies beyond the calendar comes back as its first or last
    instant, so that the rules for the past and the future judge it.
    """
    if isinstance(value, str):
        return _parse_text(value.strip())
    if isinstance(value, int | float) and not isinstance(value, bool):
        try:
            return datetime.fromtimestamp(value / 1000, UTC)
        except (OverflowError, ValueError, OSError):
            return _LAST if value > 0 else _FIRST
    return None


def is_before_computers(instant: datetime) -> bool:
    return instant.year < _FIRST_YEAR


def looks_like_seconds(written: object, read: datetime) -> bool:
    """Say whether a client wrote a number that, `read` as milliseconds, lies before all of them."""
    return not isinstance(written, str) and read.year < _FIRST_YEAR_IN_MILLISECONDS


def _parse_text(text: str) -> datetime | None:
    try:
        return _in_utc(read_iso(text))
    except OverflowError:
        return _LAST
    except ValueError:
        return None


def _without_skew(
    original: datetime, sent_at: datetime | None, receipt: Receipt
) -> tuple[datetime, tuple[str, ...]]:
    if sent_at is None:
        return original, ()
    skew = min(receipt.product - sent_at, receipt.machine - sent_at, key=abs)
    if abs(skew) <= LATENCY:
        return original, ()
    if abs(skew) > PLAUSIBLE:
        return original, (SKEW_IMPLAUSIBLE,)
    try:
        return original + skew, (SKEW_CORRECTED,)
    except OverflowError:
        return original, (SKEW_IMPLAUSIBLE,)


def _in_utc(instant: datetime) -> datetime:
    if instant.tzinfo is None:
        return instant.replace(tzinfo=UTC)
    try:
        return instant.astimezone(UTC)
    except OverflowError:
        return _LAST if instant.year > _FIRST_YEAR else _FIRST


_FIRST = datetime.min.replace(tzinfo=UTC)
_LAST = datetime.max.replace(tzinfo=UTC)
