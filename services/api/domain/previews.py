"""Which preview of a policy says something about its activation: pure decisions."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from services.api.domain.policies import JobState, PolicyView
from shared.errors import PermanentError

# Thresholds are told in days: within one few users come to where a policy changes their standing, and what was
# looked at in the afternoon can be agreed on the next morning. Ended jobs are kept longer than that in any case.
WINDOW = timedelta(hours=24)


class NotPreviewed(PermanentError):
    """Nobody has seen what the policy would do in place of the active one, at about this time."""


@dataclass(frozen=True, slots=True)
class Preview:
    """A preview of a policy in place of another, as if activated at an instant; `changed_at`: as it stands since."""

    job_id: UUID
    state: JobState
    against: int
    at: datetime
    changed_at: datetime


def check_previewed(
    policy: PolicyView,
    active: PolicyView,
    previews: Collection[Preview],
    *,
    at: datetime,
    now: datetime,
) -> None:
    """Raise NotPreviewed unless one of the policy's previews says what an activation at an instant would do.

    That may lie later than `now`, where the clock was put back since the active policy was activated.
    """
    reasons = {each: _void(each, policy, active, at=at, now=now) for each in previews}
    if not reasons:
        raise NotPreviewed(f"version {policy.version} was not previewed; preview it, or force it")
    if None in reasons.values():
        return
    # The one that fell shortest: of those that compared the right versions the last, else the last of all.
    nearest = max(reasons, key=lambda each: (each.against == active.version, each.changed_at))
    raise NotPreviewed(f"{reasons[nearest]}; preview it again, or force it")


def _void(
    preview: Preview, policy: PolicyView, active: PolicyView, *, at: datetime, now: datetime
) -> str | None:
    """Return why a preview does not count for an activation at an instant, None if it does."""
    which, hours = f"preview {preview.job_id}", f"{WINDOW // timedelta(hours=1)} hours"
    if preview.against != active.version:
        return (
            f"version {active.version} was activated since version {policy.version} was previewed"
            f" ({which} compared it with version {preview.against})"
        )
    if preview.state is not JobState.DONE:
        return f"{which} of version {policy.version} is not done: it is {preview.state}"
    if abs(at - preview.at) > WINDOW:
        return f"{which} is as of {preview.at.isoformat()}, more than {hours} from now"
    if now - preview.changed_at > WINDOW:
        return f"{which} was made at {preview.changed_at.isoformat()}, more than {hours} ago"
    return None
