"""The official Segment SDK, unmodified, pointed at ingest."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from segment.analytics.client import Client


@contextmanager
def segment_client(url: str, write_key: str) -> Iterator[Client]:
    """Yield a client; at the end everything it was given has been sent, or the test fails."""
    errors: list[Any] = []
    client = Client(
        write_key,
        host=url,
        on_error=lambda error, _batch: errors.append(error),
        max_queue_size=200_000,
        upload_size=100,
        upload_interval=0.05,
        sync_mode=False,
        timeout=15,
    )
    try:
        yield client
        client.flush()
    finally:
        client.join()
    assert not errors, errors[:3]
