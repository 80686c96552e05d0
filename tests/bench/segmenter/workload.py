"""Who acts when: sessions of many users interleaved, as real streams are, or anybody at any time."""

import random
from collections.abc import Iterator
from dataclasses import dataclass

EVENTS_IN_A_SESSION = 8
ACTIVE_AT_ONCE = 5_000


@dataclass(frozen=True, slots=True)
class Workload:
    """So many users; of whom `active` at most are in a session at any moment. 0: no sessions at all."""

    users: int
    active: int = ACTIVE_AT_ONCE

    @property
    def slots(self) -> int:
        """Return how many sessions go on at once; few users can't fill many."""
        return min(self.active, max(1, self.users // 4))


def sessions(users: int) -> Workload:
    return Workload(users)


def uniform(users: int) -> Workload:
    """Every event is of a user drawn anew: the worst case, which no real stream is."""
    return Workload(users, active=0)


def user_numbers(workload: Workload, events: int, *, seed: int) -> Iterator[int]:
    """Yield whose event comes next, `events` times; the same for the same seed."""
    chance = random.Random(seed)
    if not workload.active:
        for _ in range(events):
            yield chance.randrange(workload.users)
        return
    slots = workload.slots
    acting = [chance.randrange(workload.users) for _ in range(slots)]
    for _ in range(events):
        slot = int(chance.random() * slots)
        yield acting[slot]
        if chance.random() * EVENTS_IN_A_SESSION < 1:
            acting[slot] = chance.randrange(workload.users)


def user_id(number: int, *, prefix: str = "user") -> str:
    return f"{prefix}-{number:08d}"
