"""What a writer may expect of the log: the port that the durable log and its fake both keep."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

import msgspec


class Outcome(StrEnum):
    """What became of one record."""

    ACCEPTED = "accepted"  # acknowledged by all in-sync replicas
    TOO_LARGE = "too_large"  # refused for good
    INVALID = "invalid"  # refused for good by the broker
    BUSY = "busy"  # certainly not written: try again later
    RETRY = "retry"  # unknown: it may still be written; try again, readers drop repeats


class LogRecord(msgspec.Struct, frozen=True):
    """One record to append. The partition follows from `key` (murmur2, as every Kafka client's)."""

    topic: str
    key: bytes | None
    value: bytes
    timestamp_ms: int
    headers: list[tuple[str, bytes]] = msgspec.field(default_factory=list)


@dataclass(frozen=True, slots=True)
class LogHealth:
    """Whether appends are being taken. `reason` is empty when `ready`."""

    ready: bool
    reason: str
    oldest_unsettled_s: float
    in_flight_bytes: int


class Log(Protocol):
    """An append-only log of topics with partitions."""

    async def start(self) -> None:
        """Begin. Never raises for want of a broker: it comes up refusing (`BUSY`)."""
        ...

    async def append_many(
        self, records: Sequence[LogRecord], *, deadline_s: float = 8.0
    ) -> list[Outcome]:
        """Append the records and return one outcome each, in order, within `deadline_s`.

        Within a partition a record is accepted only after every earlier one was accepted, refused
        for good, or dropped unsent. Never raises; cancelling it does not recall what is in flight.
        """
        ...

    async def close(self, *, drain_s: float = 15.0) -> None:
        """Refuse new records, settle what is in flight for at most `drain_s`, then let go."""
        ...

    def health(self) -> LogHealth:
        """Return the state now, from the age of the oldest unsettled batch."""
        ...
