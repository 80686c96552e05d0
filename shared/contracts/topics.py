"""The topics: names, keys, partition counts and retention, all in this one place."""

from dataclasses import dataclass

DAY_MS = 86_400_000
DEFAULT_PARTITIONS = 12

# A record holds one event of at most 32 KiB plus its envelope, or the kept bytes of a refused body
# (at most 1 MiB). The broker's limit is on the batch, so it is well above the writer's own.
MAX_MESSAGE_BYTES = 4 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Topic:
    """One topic. `retention_ms` is None for a compacted topic, which is kept for ever."""

    name: str
    key: str
    made_by: str
    read_by: str
    partitions: int = DEFAULT_PARTITIONS
    retention_ms: int | None = 14 * DAY_MS
    max_message_bytes: int = MAX_MESSAGE_BYTES

    @property
    def compacted(self) -> bool:
        return self.retention_ms is None


EVENTS = Topic("ebbtide.events.v1", key="user id", made_by="ingest", read_by="segmenter")
FEEDBACK = Topic("ebbtide.feedback.v1", key="user id", made_by="ingest", read_by="alerts")
TRANSITIONS = Topic(
    "ebbtide.transitions.v1", key="user id", made_by="segmenter", read_by="alerts, anyone"
)
ALERTS = Topic("ebbtide.alerts.v1", key="alert id", made_by="alerts", read_by="anyone")
CONFIG = Topic(
    "ebbtide.config.v1",
    key="kind and id",
    made_by="api",
    read_by="ingest",
    partitions=1,
    retention_ms=None,
)
DEAD_LETTER = Topic(
    "ebbtide.dead-letter.v1",
    key="original key",
    made_by="ingest",
    read_by="segmenter, operators",
    partitions=3,
    retention_ms=30 * DAY_MS,
)

ALL = (EVENTS, FEEDBACK, TRANSITIONS, ALERTS, CONFIG, DEAD_LETTER)
