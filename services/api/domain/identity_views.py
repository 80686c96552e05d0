"""What the api shows of identity: whose an id is, by which claim, and what was merged when."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID


@dataclass(frozen=True, slots=True)
class IdentityView:
    """An id that is the user's, and the event that says so."""

    claimed: str
    target: str
    at: datetime
    source: str
    event_id: str
    decided_at: datetime


@dataclass(frozen=True, slots=True)
class RejectedClaimView:
    claimed: str
    target: str
    at: datetime
    source: str
    event_id: str
    fault: str
    decided_at: datetime


@dataclass(frozen=True, slots=True)
class MergeView:
    merge_id: UUID
    merged_at: datetime
    absorbed: str
    into_user: str
    from_user: str
    source: str
    event_id: str
    at: datetime
    events_moved: int
    steps_retracted: int
    steps_written: int


@dataclass(frozen=True, slots=True)
class MergeFilter:
    user_id: str | None = None
    merged_from: datetime | None = None
    merged_to: datetime | None = None
