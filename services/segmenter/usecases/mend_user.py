"""Make one user what the event log says, beside the lanes: row, transitions and counts in one transaction."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from msgspec import structs

from services.segmenter.domain.policy import Policies
from services.segmenter.domain.profile import Change
from services.segmenter.domain.rebuilding import DOUBLED, MISSING, Verdict
from services.segmenter.domain.replay import Rebuilt, count_share, steps_of
from services.segmenter.domain.transition import Cause, Transition
from services.segmenter.usecases.ports import Retraction, Store
from services.segmenter.usecases.write_history import Occasion, write_history

NOT_IN_THE_LOG = "the event log does not bear it out"


@dataclass(frozen=True, slots=True)
class Logged:
    """An event that a transition may rest on."""

    source: str
    event_id: str
    received_at: datetime
    historical: bool


class MendingDesk(Protocol):
    """What mending asks of the database besides the users' own store, in the same transaction."""

    async def lock(self, user_id: str) -> str | None:
        """Lock the user's row and return its version; None: there is none."""
        ...

    async def vacate(self, user_id: str, *, now: datetime) -> None:
        """Make the locked row nobody's: its id stays locked, and its history's revision."""
        ...

    async def bury(self, user_id: str, home: str, *, part: int, now: datetime) -> None:
        """Make the id, whether it has a row or not, another user's."""
        ...

    async def events_at(
        self, user_ids: Collection[str], instants: Collection[datetime]
    ) -> Mapping[datetime, Logged]:
        """Return the first event of the user at each of the instants."""
        ...


@dataclass(frozen=True, slots=True)
class Mended:
    """What was taken back and written of a user, whom this partition's readers hear of."""

    part: int
    retracted: Sequence[Transition] = ()
    written: Sequence[Transition] = ()


async def mend_user(
    verdict: Verdict, *, occasion: Occasion, policies: Policies, desk: MendingDesk, store: Store
) -> Mended | None:
    """Mend a user who was judged a moment ago; None: they have changed since, and nothing was written.

    A change of a user's events changes the row, too: where that is the same, the verdict holds.
    """
    found, rebuilt = verdict.found, verdict.rebuilt
    version = None if found.row is None else found.row.version
    if await desk.lock(found.user_id) != version:
        return None
    if rebuilt is not None:
        profile = rebuilt.profile
        if found.row is None:
            if not await store.add_users([profile], now=occasion.now):
                return None
        else:
            # A step that is written once more must not be taken for the one before it.
            profile = structs.replace(profile, revision=profile.revision + bool(verdict.steps))
            await store.save_users([profile], now=occasion.now)
        rebuilt = Rebuilt(profile, rebuilt.steps)
    elif verdict.fields:
        await _give_away(verdict, occasion, desk)
    _count(verdict, occasion, policies)
    retracted = await _retract(verdict, occasion, store)
    written = await _write(verdict, rebuilt, occasion, desk, store)
    await store.count(occasion.cells, part=None)
    return Mended(occasion.part, retracted, written)


async def _give_away(verdict: Verdict, occasion: Occasion, desk: MendingDesk) -> None:
    found = verdict.found
    if found.home is None:
        await desk.vacate(found.user_id, now=occasion.now)
    else:
        await desk.bury(found.user_id, found.home, part=occasion.part, now=occasion.now)


def _count(verdict: Verdict, occasion: Occasion, policies: Policies) -> None:
    """Add the user's share as it should be, less what their row says; not what transitions happen to stand."""
    stored, rebuilt = verdict.found.stored, verdict.rebuilt
    calendar, cells = occasion.calendar, occasion.cells
    if stored is not None:
        count_share(stored, steps_of(stored, policies), calendar, cells, gone=True)
    if rebuilt is not None:
        count_share(rebuilt.profile, rebuilt.steps, calendar, cells)


async def _retract(verdict: Verdict, occasion: Occasion, store: Store) -> Sequence[Transition]:
    surplus = [
        Retraction(each.user_id, each.step) for each in verdict.steps if each.what != MISSING
    ]
    if not surplus:
        return ()
    return await store.retract(surplus, now=occasion.now, because=NOT_IN_THE_LOG)


async def _write(
    verdict: Verdict,
    rebuilt: Rebuilt | None,
    occasion: Occasion,
    desk: MendingDesk,
    store: Store,
) -> Sequence[Transition]:
    wanted = {each.step.key for each in verdict.steps if each.what in (MISSING, DOUBLED)}
    if rebuilt is None or not wanted:
        return ()
    steps = tuple(step for step in rebuilt.steps if step.key in wanted)
    kept = max((step.at for step in rebuilt.steps if step.key not in wanted), default=None)
    change = Change(rebuilt.profile, verdict.found.stored, written=steps, kept_until=kept)
    ids = [verdict.found.user_id, *verdict.found.other_ids]
    events = await desk.events_at(ids, [step.at for step in steps])
    history = await write_history(
        [change],
        occasion=occasion,
        store=store,
        cause_of=lambda _user_id, at: _cause(events.get(at), at, occasion),
    )
    return history.written


def _cause(event: Logged | None, at: datetime, occasion: Occasion) -> Cause | None:
    if event is None:
        return None
    late = at < event.received_at - occasion.live_window
    return Cause(event.source, event.event_id, historical=event.historical or late)
