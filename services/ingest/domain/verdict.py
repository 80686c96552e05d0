"""What ingest decides about one event: admitted with all that others need to know, or refused."""

from dataclasses import dataclass
from datetime import datetime

from shared.vocabulary import EventType


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why an event is not taken. `field` is in the client's own spelling (None: the whole).

    `reason` says it of the field, or of the whole: "must be a string", "is missing".
    """

    code: str
    field: str | None
    reason: str


@dataclass(frozen=True, slots=True)
class FeedbackText:
    """What a user wrote, where, and the number beside it on the client's own scale."""

    text: str
    channel: str | None
    rating: float | None


@dataclass(frozen=True, slots=True)
class Admitted:
    """An event as it will be kept. `flags` say what was done to its time."""

    event_id: str
    user_id: str
    anonymous_id: str | None
    previous_id: str | None  # of an alias: the id that becomes the user's
    type: EventType
    name: str | None
    timestamp: datetime
    original_timestamp: str | None
    active: bool
    historical: bool
    flags: tuple[str, ...]
    feedback: FeedbackText | None


class Refused(Exception):
    """Carries a refusal from the rule that found it to the judge that returns it."""

    def __init__(self, code: str, field: str | None, reason: str) -> None:
        super().__init__(reason)
        self.refusal = Refusal(code, field, reason)
