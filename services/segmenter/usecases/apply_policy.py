"""Bring users, some at a time, up to the active policy, as lanes do with those they touch."""

from collections import defaultdict
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from services.segmenter.domain.calendar import Calendar
from services.segmenter.domain.counters import Cells
from services.segmenter.domain.policy import Policies
from services.segmenter.domain.profile import Change, pass_time
from services.segmenter.usecases.adopt_policies import adopt_policies
from services.segmenter.usecases.keep_changes import keep_changes
from services.segmenter.usecases.ports import Store
from services.segmenter.usecases.reach import reach_of
from services.segmenter.usecases.write_history import History, Occasion
from shared.kafka.partitioner import partition_of


@dataclass(frozen=True, slots=True)
class PassOver:
    """What a piece of the pass came to: the history by partition, whose outbox tells it."""

    histories: Mapping[int, History]
    users: int


async def apply_policy(  # noqa: PLR0913  what holds for a lane's batch, taken apart
    user_ids: Collection[str],
    *,
    policies: Policies,
    watermarks: Mapping[int, datetime | None],
    now: datetime,
    live_window: timedelta,
    calendar: Calendar,
    store: Store,
) -> PassOver:
    """Bring those of the users up who are not yet, and let time pass for them as a lane's sweep would.

    The watermarks were read before: what they vouch for is in the users that are locked now. Beyond its
    partition's watermark nothing is written of a user; their deadline has the lane do it in time.
    """
    locked = await store.lock(user_ids)
    current = policies.current.version
    outdated = [each for each in locked.profiles.values() if each.policy_version < current]
    adopted = await adopt_policies(outdated, policies=policies, store=store)
    by_part: dict[int, list[Change]] = defaultdict(list)
    for change in adopted.values():
        by_part[change.profile.part].append(change)
    histories: dict[int, History] = {}
    cells = Cells()
    for part, changes in sorted(by_part.items()):
        occasion = Occasion(part, now, watermarks.get(part), live_window, calendar, cells)
        histories[part] = await keep_changes(
            [_settled(change, watermarks, policies, occasion) for change in changes],
            occasion=occasion,
            policies=policies,
            store=store,
            cause_of=lambda _user_id, _at: None,
        )
    await store.count(cells, part=None)
    return PassOver(histories, len(adopted))


def _settled(
    change: Change,
    watermarks: Mapping[int, datetime | None],
    policies: Policies,
    occasion: Occasion,
) -> Change:
    """Let time pass for a user as far as every partition is folded by which their events may come."""
    profile = change.profile
    comes_by = partition_of(profile.user_id.encode(), max(watermarks, default=0) + 1)
    until = reach_of(profile.part, (comes_by, *profile.also_parts), watermarks, occasion)
    return change if until is None else pass_time(change, until, policies)
