"""Which jobs may be cancelled, and why others may not: pure decisions."""

from services.api.domain.policies import JobState, JobView
from shared.errors import PermanentError

PREVIEW = "policy_preview"
APPLY = "policy_apply"
BACKFILL = "backfill_funnel"
DELETE = "delete_funnel"

_OPEN = frozenset({JobState.WAITING, JobState.RUNNING})

# What would be wrong for ever, and what to do instead.
_HALF_DONE = {
    APPLY: "users whom nobody touches would stay on an older policy for ever; to undo the activation roll back, "
    "and this job may be cancelled then",
    BACKFILL: "its funnel would be half counted for ever; delete the funnel, which ends the job too",
    DELETE: "what the funnel counted would stay in the database for ever",
}


class UnknownJob(PermanentError):
    """There is no such job."""


class JobEnded(PermanentError):
    """The job has ended, so there is nothing to cancel."""


class JobNeeded(PermanentError):
    """Half done, the job would leave something wrong for ever."""


def check_open(job: JobView) -> None:
    """Raise JobEnded, with the state, unless the job waits or runs."""
    if job.state not in _OPEN:
        raise JobEnded(f"the job has ended: it is {job.state}")


def check_cancellable(job: JobView, *, needed: bool) -> None:
    """Raise JobEnded or JobNeeded where the job can't be cancelled.

    `needed`: nothing else will do what an activation, or a funnel, waits for.
    """
    check_open(job)
    if job.kind == PREVIEW or (job.kind in {APPLY, BACKFILL} and not needed):
        return
    raise JobNeeded(_HALF_DONE.get(job.kind, f"it is not known what a {job.kind} leaves half done"))
