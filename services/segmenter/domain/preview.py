"""What a policy would make of users, if it were activated at an instant."""

from datetime import datetime

from services.segmenter.domain.lifecycle import state_at
from services.segmenter.domain.policy import Policies
from services.segmenter.domain.profile import Profile
from services.segmenter.domain.spans import Logged, coarser, finer
from shared.vocabulary import Lifecycle


def moved(
    profile: Profile, at: datetime, *, before: Policies, after: Policies, logged: Logged | None
) -> tuple[Lifecycle, Lifecycle] | None:
    """Return where a user stands at an instant by the policies before and after; None: not seen by then.

    `logged` is wanted where `hides_silences` says so for the policies after.
    """
    spans = finer(profile.spans, logged, silent_after=min(before.grain, after.grain))
    was = state_at(coarser(spans, before.grain), before, at)
    becomes = state_at(coarser(spans, after.grain), after, at)
    return None if was is None or becomes is None else (was, becomes)
