"""Let time pass for the users whose deadline is due."""

from services.segmenter.domain.policy import Policy
from services.segmenter.domain.profile import Change, pass_time
from services.segmenter.usecases.ports import Store
from services.segmenter.usecases.write_history import History, Occasion, write_history

SWEEP_LIMIT = 1_000


async def sweep_deadlines(
    *, occasion: Occasion, policy: Policy, store: Store, limit: int = SWEEP_LIMIT
) -> tuple[History, bool]:
    """Write every step that is due by the watermark, each dated at its own deadline.

    Returns the history, and whether more users may be due.
    """
    if occasion.watermark is None:
        return History(), False
    due = await store.lock_due(occasion.part, until=occasion.watermark, limit=limit)
    if not due:
        return History(), False
    changes = [pass_time(Change(profile), occasion.watermark, policy) for profile in due]
    await store.save_users([change.profile for change in changes], now=occasion.now)
    history = await write_history(
        changes, occasion=occasion, store=store, cause_of=lambda _user_id, _at: None
    )
    return history, len(due) == limit
