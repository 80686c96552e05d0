"""The words of the system: closed sets and ids that every part uses with the same meaning."""

from enum import StrEnum
from typing import NewType

UserId = NewType("UserId", str)
SourceId = NewType("SourceId", str)
EventId = NewType("EventId", str)

LONGEST_ID = 200

# What programs send when they do not know the user. Each would merge thousands of people into one.
# PostHog keeps a similar list.
JUNK_IDS = frozenset(
    {
        "0",
        "[object object]",
        "anonymous",
        "distinct_id",
        "distinctid",
        "email",
        "false",
        "guest",
        "id",
        "nan",
        "nil",
        "none",
        "not_authenticated",
        "null",
        "true",
        "undefined",
        "unknown",
        "user",
        "user_id",
        "userid",
    }
)


def is_text(text: str) -> bool:
    """Tell whether this can be stored and sent: no bytes that were not UTF-8, no half of a surrogate pair."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def is_junk_id(text: str) -> bool:
    """Say whether an id stands for many people. A quoted word is the same mistake one step earlier."""
    return text.strip("\"'").lower() in JUNK_IDS


class EventType(StrEnum):
    """What kind of record an event is; the first six are Segment's calls."""

    TRACK = "track"
    IDENTIFY = "identify"
    PAGE = "page"
    SCREEN = "screen"
    GROUP = "group"
    ALIAS = "alias"
    FEEDBACK = "feedback"


class Lifecycle(StrEnum):
    """Where a user stands, from their activity alone."""

    NEW = "new"
    ACTIVE = "active"
    SILENT = "silent"
    CHURNED = "churned"
    RETURNED = "returned"


class TransitionKind(StrEnum):
    """Which of a user's values a transition changes."""

    LIFECYCLE = "lifecycle"


class TransitionReason(StrEnum):
    """Why a transition was written."""

    FIRST_ACTIVITY = "first_activity"
    ACTIVITY_RESUMED = "activity_resumed"
    RETURNED_AFTER_CHURN = "returned_after_churn"
    TIME_PASSED = "time_passed"
    POLICY_CHANGED = "policy_changed"


class TransitionStatus(StrEnum):
    """Whether a published transition still holds; a retracted one was contradicted later."""

    WRITTEN = "written"
    RETRACTED = "retracted"


class AlertKind(StrEnum):
    """What an alert warns of; each kind has a playbook and an owner."""

    USER_CHURNED = "user_churned"


class AlertState(StrEnum):
    """The machine's own side of an alert; what people did to it is kept apart."""

    FIRING = "firing"
    RESOLVED = "resolved"


class Severity(StrEnum):
    """How urgent an alert is."""

    NOTICE = "notice"
    WARNING = "warning"
    CRITICAL = "critical"
