"""Let time pass for the users whose deadline is due."""

from dataclasses import dataclass, field

from services.segmenter.domain.policy import Policies
from services.segmenter.domain.profile import pass_time
from services.segmenter.usecases.adopt_policies import adopt_policies
from services.segmenter.usecases.keep_changes import keep_changes
from services.segmenter.usecases.ports import Store
from services.segmenter.usecases.write_history import History, Occasion

SWEEP_LIMIT = 1_000


@dataclass(frozen=True, slots=True)
class Swept:
    """What was written, and who is left up to the watermark.

    `more_due`: maybe more users, whom another sweep gets. `held_up`: users in other lanes' hands, whom
    one more sweep at once is unlikely to get.
    """

    history: History = field(default_factory=History)
    more_due: bool = False
    held_up: bool = False


async def sweep_deadlines(
    *, occasion: Occasion, policies: Policies, store: Store, limit: int = SWEEP_LIMIT
) -> Swept:
    """Write every step that is due by the watermark, each dated at its own deadline."""
    if occasion.watermark is None:
        return Swept()
    due = await store.lock_due(occasion.part, until=occasion.watermark, limit=limit)
    held_up = len(due.profiles) < due.found
    if not due.profiles:
        return Swept(held_up=held_up)
    adopted = await adopt_policies(due.profiles, policies=policies, store=store)
    history = await keep_changes(
        [pass_time(change, occasion.watermark, policies) for change in adopted.values()],
        occasion=occasion,
        policies=policies,
        store=store,
        cause_of=lambda _user_id, _at: None,
    )
    return Swept(history, more_due=due.found == limit, held_up=held_up)
