"""Keep what became of users: the one way by which a changed user gets into the store."""

from collections.abc import Sequence

from services.segmenter.domain.policy import Policies
from services.segmenter.domain.profile import Change
from services.segmenter.usecases.ports import Store
from services.segmenter.usecases.write_history import CauseOf, History, Occasion, write_history


async def keep_changes(
    changes: Sequence[Change],
    *,
    occasion: Occasion,
    policies: Policies,
    store: Store,
    cause_of: CauseOf,
) -> History:
    """Save the users, who exist and are locked, and write what the changes mean for their history."""
    if not changes:
        return History()
    occasion.count(changes, policies)
    aged = [each.profile for each in changes if each.only_aged or each.profile is each.before]
    whole = [
        each.profile for each in changes if not each.only_aged and each.profile is not each.before
    ]
    if aged:
        await store.age_users(aged, now=occasion.now)
    if whole:
        await store.save_users(whole, now=occasion.now)
    return await write_history(changes, occasion=occasion, store=store, cause_of=cause_of)
