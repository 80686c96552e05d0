"""The limits of the write path: sizes, the memory it may hold, and how long it waits for what."""

from dataclasses import dataclass

MIB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class LogLimits:
    """Defaults suit topics that take batches of 1 MiB, which is Kafka's own default, and more.

    The broker's limit is on the batch, so `batch_bytes` stays well below it; one record that is
    larger than a batch travels alone. `budget_bytes` is what may be accepted and not yet settled.
    """

    max_record_bytes: int = 2 * MIB
    batch_bytes: int = 768 * 1024
    batch_records: int = 4_000
    budget_bytes: int = 64 * MIB
    partition_share: float = 0.25
    # A partition whose batch is older than this refuses new records at once.
    stall_s: float = 4.0
    # A send that is unresolved for so long means that the client hangs, not the broker: every
    # request to a broker ends within `request_timeout_ms`.
    hung_s: float = 12.0
    request_timeout_ms: int = 4_000
    # Shorter than the request's, so that a frozen follower does not cut healthy connections.
    ack_timeout_ms: int = 2_500
    metadata_max_age_ms: int = 30_000
    first_delay_s: float = 0.05
    last_delay_s: float = 1.0
    # How long an append waits to learn the partitions of a topic it has not met before.
    topic_wait_s: float = 2.0
    dispose_s: float = 2.0
