"""What travels in the feedback topic: a user's text, where it was said, and the rating beside it."""

from datetime import datetime

import msgspec

FEEDBACK_VERSION = 1


class Feedback(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """One feedback text. `feedback_id` is the event's id; (source, feedback_id) is unique.

    `channel` is where it was said (review, ticket, survey, community, …) as the client named it;
    `rating` is the client's number, on the client's scale, and never the truth about the text.
    """

    # By a factory, because plain defaults are left out: every message says its version.
    v: int = msgspec.field(default_factory=lambda: FEEDBACK_VERSION)
    feedback_id: str
    source: str
    user_id: str
    text: str
    timestamp: datetime
    received_at: datetime
    channel: str | None = None
    rating: float | None = None
    historical: bool = False
