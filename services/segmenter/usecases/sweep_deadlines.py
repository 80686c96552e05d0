"""Let time pass for the users whose deadline is due."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from services.segmenter.domain.policy import Policies
from services.segmenter.domain.profile import Profile, pass_time
from services.segmenter.usecases.adopt_policies import adopt_policies
from services.segmenter.usecases.keep_changes import keep_changes
from services.segmenter.usecases.ports import DuePlace, Store
from services.segmenter.usecases.reach import FoldedUntil, reach_of
from services.segmenter.usecases.write_history import History, Occasion
from shared.kafka.partitioner import partition_of

# So many that what a transaction costs by itself does not count.
SWEEP_LIMIT = 1_000
# So many where events come by, if by other lanes: theirs wait for the same Postgres and the same loop.
BESIDE_EVENTS = 100
# As long as it is not the lane's turn to catch up: all lanes may do this much at once.
FIRST_SWEEP = 20


@dataclass(frozen=True, slots=True)
class Swept:
    """What was written, and who is left up to the watermark.

    `more_due`: maybe more users, whom another sweep gets. `held_up`: users in other lanes' hands, or whose
    events may wait in another partition; one more sweep at once is unlikely to get them.
    `behind`: how long the latest of the deadlines was due that were looked at, while more are due.
    """

    history: History = field(default_factory=History)
    more_due: bool = False
    held_up: bool = False
    behind: timedelta = timedelta()
    # Where the next sweep goes on, past users who are held up; None: at the beginning.
    past: DuePlace | None = None


async def sweep_deadlines(
    *,
    occasion: Occasion,
    policies: Policies,
    store: Store,
    folded_until: FoldedUntil,
    limit: int = SWEEP_LIMIT,
    past: DuePlace | None = None,
) -> Swept:
    """Write every step that is due by the watermark, each dated at its own deadline.

    `past`: where the last sweep left off, if many were held up.
    """
    if occasion.watermark is None:
        return Swept(past=past)
    due = await store.lock_due(occasion.part, until=occasion.watermark, limit=limit, behind=past)
    if not due.profiles:
        return Swept(held_up=past is not None or due.found > 0, past=due.last if due.more else None)
    folded = await folded_until()
    until = _until(due.profiles, folded, occasion)
    held_up = len(until) < due.found
    if held_up and due.more and (behind := _behind(folded, occasion)):
        # Users who wait for another partition must not stand in the way of all the others.
        due = await store.lock_due(
            occasion.part, until=occasion.watermark, limit=limit, besides=behind, behind=past
        )
        until = _until(due.profiles, folded, occasion)
    reached = [each for each in due.profiles if each.user_id in until]
    adopted = await adopt_policies(reached, policies=policies, store=store)
    history = await keep_changes(
        [pass_time(change, until[user_id], policies) for user_id, change in adopted.items()],
        occasion=occasion,
        policies=policies,
        store=store,
        cause_of=lambda _user_id, _at: None,
    )
    more_due = due.more and len(reached) > 0
    left_behind = len(reached) < due.found
    held_up = held_up or left_behind or past is not None
    return Swept(
        history,
        more_due=more_due,
        held_up=held_up,
        past=(due.last if left_behind else past) if due.more else None,
        behind=_overdue(due.profiles, occasion.watermark) if more_due or held_up else timedelta(),
    )


def _overdue(due: Sequence[Profile], watermark: datetime) -> timedelta:
    """Return how long the latest of the deadlines was due by the watermark."""
    deadlines = [each.deadline.at for each in due if each.deadline is not None]
    return max(timedelta(), watermark - max(deadlines, default=watermark))


def _behind(folded_until: Mapping[int, datetime | None], occasion: Occasion) -> list[int]:
    """Return the other partitions that are not folded as far as this one."""
    own = occasion.watermark
    return [
        part
        for part, until in folded_until.items()
        if part != occasion.part and (until is None or own is None or until < own)
    ]


def _until(
    profiles: Sequence[Profile], folded_until: Mapping[int, datetime | None], occasion: Occasion
) -> dict[str, datetime]:
    """Return up to when time may pass for each user, without those for whom that is before their deadline.

    After partitions were added, a user's next events come by another partition than those before. Until
    one of them is folded the old partition sweeps the user, but no further than the new one is folded.
    """
    until: dict[str, datetime] = {}
    own = occasion.watermark
    assert own is not None  # noqa: S101  asked before
    partitions = max(folded_until, default=occasion.part) + 1
    for profile in profiles:
        comes_by = partition_of(profile.user_id.encode(), partitions)
        reach = reach_of(occasion.part, (comes_by, *profile.also_parts), folded_until, occasion)
        # Where nothing is due yet, the store learns by the saving when to look again.
        if reach is not None and (not _is_due(profile, own) or _is_due(profile, reach)):
            until[profile.user_id] = reach
    return until


def _is_due(profile: Profile, by: datetime) -> bool:
    return profile.deadline is not None and profile.deadline.at <= by
