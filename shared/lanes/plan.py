"""Who should work on what: a pure function of the workers and of who owns which partition.

Every keeper computes the whole plan from its own picture and acts on its own part of it. With equal
pictures the parts fit together; with unequal ones the claim in the database decides.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from shared.database.lease import Partition


@dataclass(frozen=True, slots=True)
class Picture:
    """What a keeper knows: `owners` has every partition; `live` are the workers that take work.

    `leaving` still protects what it owns, but is due nothing. An owner in neither is dead.
    """

    owners: Mapping[Partition, str | None]
    live: frozenset[str]
    leaving: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Plan:
    """What one worker should keep, give up and take, in the order of the partitions."""

    keep: tuple[Partition, ...]
    release: tuple[Partition, ...]
    claim: tuple[Partition, ...]


def plan_for(me: str, picture: Picture, *, may_take_from_dead: bool = True) -> Plan:
    """Return my part of the plan: as few moves as possible, and nothing from whoever is not dead."""
    held = _held(picture)
    mine = held.get(me, [])
    due = _dues(held, len(picture.owners))
    keep = tuple(mine[: due.get(me, 0)])
    release = tuple(mine[due.get(me, 0) :])
    free = [
        partition
        for partition, owner in sorted(picture.owners.items())
        if owner is None or owner not in picture.live | picture.leaving
    ]
    claim = _dealt(me, held, due=due, free=free)
    if not may_take_from_dead:
        claim = [partition for partition in claim if picture.owners[partition] is None]
    return Plan(keep, release, tuple(claim))


def _held(picture: Picture) -> dict[str, list[Partition]]:
    held: dict[str, list[Partition]] = {worker: [] for worker in picture.live}
    for partition, owner in sorted(picture.owners.items()):
        if owner in held:
            held[owner].append(partition)
    return held


def _dues(held: Mapping[str, Collection[Partition]], partitions: int) -> dict[str, int]:
    """Share the partitions evenly; the ones left over stay with those who already hold more."""
    if not held:
        return {}
    each, extra = divmod(partitions, len(held))
    by_holding = sorted(held, key=lambda worker: (-len(held[worker]), worker))
    return {worker: each + (place < extra) for place, worker in enumerate(by_holding)}


def _dealt(
    me: str,
    held: Mapping[str, Collection[Partition]],
    *,
    due: Mapping[str, int],
    free: list[Partition],
) -> list[Partition]:
    """Deal the free partitions in a fixed order, so that two workers with one picture never meet."""
    start = 0
    for worker in sorted(held):
        wants = max(0, due[worker] - len(held[worker]))
        if worker == me:
            return free[start : start + wants]
        start += wants
    return []
