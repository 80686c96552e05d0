"""Turn changes of users into transitions: written, retracted, and told to everybody."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from services.segmenter.domain.profile import Change
from services.segmenter.domain.transition import Cause, Setting, Transition, transition
from services.segmenter.usecases.ports import Retraction, Store
from shared.vocabulary import TransitionReason

CONTRADICTED = "a late event contradicts it"


@dataclass(frozen=True, slots=True)
class Occasion:
    """What holds for one batch. `now` is product time; `watermark` as in `shared.lanes.work.Batch`.

    What is older than `live_window` when it becomes known is history, and warns nobody.
    """

    part: int
    now: datetime
    watermark: datetime | None
    live_window: timedelta


@dataclass(frozen=True, slots=True)
class History:
    """The transitions that a batch retracted and wrote, in the order in which readers should see them."""

    retracted: Sequence[Transition] = ()
    written: Sequence[Transition] = ()


CauseOf = Callable[[str, datetime], Cause | None]


async def write_history(
    changes: Sequence[Change], *, occasion: Occasion, store: Store, cause_of: CauseOf
) -> History:
    """Write what the changes of users, who are saved, mean for their history."""
    written = [
        transition(step, _setting(change, occasion), _cause(change, step.at, step.reason, cause_of))
        for change in changes
        for step in change.written
    ]
    retractions = [
        Retraction(change.profile.user_id, step) for change in changes for step in change.retracted
    ]
    retracted: Sequence[Transition] = ()
    if retractions:
        retracted = await store.retract(retractions, now=occasion.now, because=CONTRADICTED)
    if written:
        await store.add_transitions(written)
    return History(retracted, written)


def _setting(change: Change, occasion: Occasion) -> Setting:
    profile = change.profile
    return Setting(
        user_id=profile.user_id,
        policy_version=profile.policy_version,
        revision=profile.revision,
        recorded_at=occasion.now,
        live_since=profile.known_at - occasion.live_window,
    )


def _cause(
    change: Change, at: datetime, reason: TransitionReason, cause_of: CauseOf
) -> Cause | None:
    if reason is TransitionReason.TIME_PASSED:
        return None
    return cause_of(change.profile.user_id, at)
