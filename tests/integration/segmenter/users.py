"""Users whose events come by a partition that the test chooses, as ingest would send them."""

from shared.kafka.partitioner import partition_of


def user_of(part: int, *, of: int) -> str:
    """Return a user whose events come by this partition of so many."""
    return next(
        name for name in map("u{}".format, range(999)) if partition_of(name.encode(), of) == part
    )
