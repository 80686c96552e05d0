"""How long lanes wait, how much they take at once, and when they give up."""

import random
from dataclasses import dataclass
from enum import StrEnum


class LostRecords(StrEnum):
    """What to do where retention removed records before they were folded."""

    FREEZE = "freeze"  # stop the partition until an operator decides
    CONTINUE = "continue"  # count them as lost and go on with the oldest that is left


@dataclass(frozen=True, slots=True)
class LaneLimits:
    """The numbers of the protocol. They are one set: the lease outlives several beats."""

    beat_s: float = 1.5
    beat_jitter: float = 0.2
    lease_s: float = 6.0
    # A keeper that has just connected lets everybody renew before it calls anyone dead.
    mercy_beats: float = 1.5
    idle_s: float = 0.25
    # So far apart a lane's turns begin where little comes: a turn costs what a hundred events do.
    apart_s: float = 0.02
    batch_records: int = 8_000
    # Lanes of a process that fold much at once: one waits for Postgres while another works.
    crowd: int = 4
    # Lanes of a process that fold little at once. With all of them at work each takes as long as all together;
    # while one waits its turn, more comes that goes with it.
    small_turns: int = 2
    # So long a lane waits its turn at most: who is at work may be waiting for somebody else's rows.
    queue_s: float = 0.1
    # So many times as long as a turn took that gives way, the lane leaves the others alone with their events.
    rests: int = 3
    # At least so long: a turn of few users is over soon, but costs Postgres something by itself.
    rest_least_s: float = 0.05
    much_records: int = 500
    drain_s: float = 5.0
    backoff_least_s: float = 0.1
    backoff_most_s: float = 2.0
    refused_in_a_row: int = 1_000
    conflict_attempts: int = 8
    stuck_s: float = 30.0
    unready_s: float = 10.0
    # The log may be behind itself for a moment after a broker's restart.
    truncation_patience_s: float = 3.0
    # Sooner than a writer usually learns of partitions that were added: what it puts there should not wait.
    partitions_s: float = 5.0
    relay_batch: int = (
        100  # of each partition at once: lanes share the loop, and must not wait for it
    )
    lost_records: LostRecords = LostRecords.FREEZE


class Backoff:
    """Delays that double from the least to the most, each shortened by up to half at random."""

    def __init__(self, limits: LaneLimits) -> None:
        self._least = limits.backoff_least_s
        self._most = limits.backoff_most_s
        self._next = self._least

    def next_s(self) -> float:
        delay, self._next = self._next, min(self._next * 2, self._most)
        return delay * random.uniform(0.5, 1.0)  # noqa: S311  spreads retries; guards nothing

    def reset(self) -> None:
        self._next = self._least
