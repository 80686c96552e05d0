"""What the api shows: one frozen value per thing, as read in one snapshot."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID


@dataclass(frozen=True, slots=True)
class UserView:
    user_id: str
    lifecycle: str
    lifecycle_since: datetime
    first_seen: datetime
    last_seen: datetime
    deadline: datetime | None
    deadline_to: str | None
    event_count: int
    policy_version: int
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class TransitionView:
    transition_id: UUID
    user_id: str
    kind: str
    before: str | None
    after: str
    at: datetime
    recorded_at: datetime
    reason: str
    policy_version: int
    historical: bool
    evidence: dict[str, Any]
    retracted_at: datetime | None
    retracted_because: str | None


@dataclass(frozen=True, slots=True)
class AlertView:
    alert_id: UUID
    kind: str
    state: str
    severity: str
    user_id: str
    summary: str
    evidence: dict[str, Any]
    owner: str
    playbook: str
    fired_at: datetime
    recorded_at: datetime
    resolved_at: datetime | None
    resolution: str | None


@dataclass(frozen=True, slots=True)
class DeadLetterView:
    dead_letter_id: str
    code: str
    field: str | None
    reason: str
    origin: str
    source: str | None
    topic: str
    part: int
    kafka_offset: int
    value: bytes
    truncated: bool
    refused_at: datetime


@dataclass(frozen=True, slots=True)
class WorkerView:
    worker: str
    alive: bool
    leaving: bool


@dataclass(frozen=True, slots=True)
class PartitionView:
    part: int
    owner: str | None
    epoch: int
    next_offset: int
    end_offset: int | None
    watermark: datetime | None
    folded_at: datetime | None
    frozen_reason: str | None

    @property
    def waiting(self) -> int | None:
        """How many records wait to be folded; None while the log's end is not known."""
        return None if self.end_offset is None else max(0, self.end_offset - self.next_offset)
