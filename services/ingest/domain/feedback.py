"""Which events carry a user's own words, and where the words stand."""

from collections.abc import Mapping
from typing import Any

from services.ingest.domain.verdict import FeedbackText, Refused
from shared.vocabulary import EventType

# Names of Segment's and other catalogues under which apps track what users write.
FEEDBACK_NAMES = frozenset(
    {
        "feedback",
        "feedback submitted",
        "product reviewed",
        "review submitted",
        "survey answered",
        "survey submitted",
        "ticket created",
    }
)


def feedback_of(
    kind: EventType, name: str | None, fields: Mapping[str, Any]
) -> FeedbackText | None:
    """Return the feedback that the event carries, or None. Raises Refused where it has no text.

    A feedback event may say its text, channel and rating itself or in its properties.
    """
    properties = fields.get("properties") or {}
    declared = kind is EventType.FEEDBACK
    if declared:
        properties = {**fields, **properties}
    elif name is None or name.lower() not in FEEDBACK_NAMES:
        return None
    text = properties.get("text") or properties.get("review_body")
    if not isinstance(text, str) or not text.strip():
        if declared:
            raise Refused("missing_field", "text", "is missing or empty: feedback needs a text")
        return None  # only its name sounds like it
    return FeedbackText(text, _channel(properties), _rating(properties))


def _channel(properties: Mapping[str, Any]) -> str | None:
    channel = properties.get("channel")
    return channel[:100] if isinstance(channel, str) else None


def _rating(properties: Mapping[str, Any]) -> float | None:
    rating = properties.get("rating")
    if isinstance(rating, bool) or not isinstance(rating, int | float):
        return None
    try:
        return float(rating)
    except OverflowError:
        return None
