"""Turn changes of users into transitions: written, retracted, and told to everybody."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from msgspec import structs

from services.segmenter.domain.calendar import Calendar
from services.segmenter.domain.counters import Cells
from services.segmenter.domain.counting import count_changes
from services.segmenter.domain.lifecycle import Step
from services.segmenter.domain.policy import Policies
from services.segmenter.domain.profile import Change
from services.segmenter.domain.transition import Cause, Setting, Transition, transition
from services.segmenter.usecases.ports import Retraction, Store
from shared.vocabulary import Lifecycle, TransitionReason

CONTRADICTED = "a late event contradicts it"
REPEALED = "another policy held at that time"

_WITHOUT_EVENT = (TransitionReason.TIME_PASSED, TransitionReason.POLICY_CHANGED)


@dataclass(frozen=True, slots=True)
class Occasion:
    """What holds for one batch. `now` is product time; `watermark` as in `shared.lanes.work.Batch`.

    What is older than `live_window` when it becomes known is history, and warns nobody. `cells` gathers
    what the batch adds to the counts, to be written last: other lanes may wait for these rows.
    """

    part: int
    now: datetime
    watermark: datetime | None
    live_window: timedelta
    calendar: Calendar
    cells: Cells = field(default_factory=Cells)
    counts: bool = True

    def count(self, changes: Iterable[Change], policies: Policies) -> None:
        """Gather what the changes of users mean for the counts."""
        if self.counts:
            count_changes(changes, policies=policies, calendar=self.calendar, into=self.cells)


@dataclass(frozen=True, slots=True)
class History:
    """The transitions that a batch retracted and wrote, in the order in which readers should see them."""

    retracted: Sequence[Transition] = ()
    written: Sequence[Transition] = ()
    repealed: Sequence[Transition] = ()


CauseOf = Callable[[str, datetime], Cause | None]
Moment = tuple[str, datetime]  # of a user
Was = tuple[str, Lifecycle]  # a user, and what they had become


async def write_history(
    changes: Sequence[Change],
    *,
    occasion: Occasion,
    store: Store,
    cause_of: CauseOf,
    homes: Mapping[str, str] | None = None,
) -> History:
    """Write what the changes of users, who are saved, mean for their history.

    `homes`: ids that are no users any more → whose they are now, and so what they lived through.
    """
    repealed = await _retract(
        [(change, step) for change in changes for step in change.repealed],
        occasion=occasion,
        store=store,
        because=REPEALED,
    )
    retracted = await _retract(
        [(change, step) for change in changes for step in change.retracted],
        occasion=occasion,
        store=store,
        because=CONTRADICTED,
    )
    taken_back = [*repealed, *retracted]
    known, moved = _causes_of(taken_back, homes or {}), _live_among(taken_back, homes or {})
    written = [
        _transition(step, change, _setting(change, step, occasion, moved), cause_of, known)
        for change in changes
        for step in change.written
    ]
    if written:
        await store.add_transitions(written)
    return History(retracted, written, repealed)


async def _retract(
    steps: Sequence[tuple[Change, Step]], *, occasion: Occasion, store: Store, because: str
) -> Sequence[Transition]:
    if not steps:
        return ()
    retractions = [
        Retraction(
            change.profile.user_id, step, change.because if because is CONTRADICTED else None
        )
        for change, step in steps
    ]
    return await store.retract(retractions, now=occasion.now, because=because)


def _setting(change: Change, step: Step, occasion: Occasion, moved: Collection[Was]) -> Setting:
    profile = change.profile
    live_since = profile.known_at - occasion.live_window
    # Where a user still is what they were, only since another instant, whoever was warned stays so.
    if moved and step is change.written[-1] and (profile.user_id, step.after) in moved:
        live_since = min(live_since, step.at)
    return Setting(profile.user_id, profile.revision, occasion.now, live_since)


def _transition(
    step: Step,
    change: Change,
    setting: Setting,
    cause_of: CauseOf,
    known: Mapping[Moment, Cause],
) -> Transition:
    """Return the step as a transition. What the user has left behind already warns nobody."""
    written = transition(step, setting, _cause(step, setting, cause_of, known))
    return structs.replace(written, historical=True) if change.is_overtaken(step) else written


def _cause(
    step: Step, setting: Setting, cause_of: CauseOf, known: Mapping[Moment, Cause]
) -> Cause | None:
    """Return the event behind a step, None where time alone is.

    An event that came earlier is known from what the step replaces. What is late stays late.
    """
    if step.reason in _WITHOUT_EVENT:
        return None
    cause = cause_of(setting.user_id, step.at)
    if cause is None:
        cause = known.get((setting.user_id, step.at))
        if cause is not None and step.at < setting.live_since:
            cause = structs.replace(cause, historical=True)
    return cause


def _live_among(retracted: Sequence[Transition], homes: Mapping[str, str]) -> set[Was]:
    return {
        (homes.get(each.user_id, each.user_id), each.after)
        for each in retracted
        if not each.historical
    }


def _causes_of(retracted: Sequence[Transition], homes: Mapping[str, str]) -> dict[Moment, Cause]:
    return {
        (homes.get(each.user_id, each.user_id), each.at): Cause(source, event_id, each.historical)
        for each in retracted
        if (source := each.evidence.source) and (event_id := each.evidence.event_id)
    }
