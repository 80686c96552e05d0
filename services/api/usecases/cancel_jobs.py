"""What cancelling jobs asks of the database."""

from datetime import datetime
from typing import Protocol
from uuid import UUID

from services.api.domain.policies import JobView


class JobChanges(Protocol):
    """Changes jobs. Every method may raise StoreUnavailable."""

    async def cancel(self, job_id: UUID, *, by: str, now: datetime) -> JobView:
        """End a job that waits, or that runs: after the step in hand, and before the next.

        Raises UnknownJob, JobEnded, JobNeeded.
        """
        ...
