"""Reads whole topics with a client that shares no code with the services."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from confluent_kafka import Consumer, TopicPartition

from shared.contracts import topics
from tests.system.progress import end_offsets

PATIENCE_S = 30.0


@dataclass(frozen=True, slots=True)
class Logged:
    """An event as it stands in the log."""

    part: int
    offset: int
    event_id: str
    user_id: str
    timestamp: datetime
    received_at: datetime
    source: str
    type: str
    name: str | None
    claimed: str | None


def read_events(bootstrap: str) -> list[Logged]:
    """Return every event in the log, in the order of each partition."""
    return [
        _logged(part, offset, json.loads(value))
        for part, offset, value in _read(bootstrap, topics.EVENTS.name)
    ]


def read_transitions(bootstrap: str) -> list[tuple[str, str]]:
    """Return (transition id, status) of every message in the topic."""
    bodies = (json.loads(value) for _, _, value in _read(bootstrap, topics.TRANSITIONS.name))
    return [(body["transition_id"], body.get("status", "written")) for body in bodies]


def _logged(part: int, offset: int, body: dict[str, Any]) -> Logged:
    return Logged(
        part,
        offset,
        body["event_id"],
        body["user_id"],
        datetime.fromisoformat(body["timestamp"]),
        datetime.fromisoformat(body["received_at"]),
        body["source"],
        body["type"],
        body.get("name"),
        _claimed(body),
    )


def _claimed(body: dict[str, Any]) -> str | None:
    """Return the id that the event says is its user's, too."""
    key = {"alias": "previous_id", "identify": "anonymous_id"}.get(body["type"])
    return None if key is None else body[key]


def _read(bootstrap: str, topic: str) -> Iterator[tuple[int, int, bytes]]:
    ends = {part: end for part, end in end_offsets(bootstrap, topic).items() if end > 0}
    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": "verifier",
            "enable.auto.commit": False,
            "auto.offset.reset": "error",
        }
    )
    try:
        consumer.assign([TopicPartition(topic, part, 0) for part in ends])
        while ends:
            part, offset, value = _next(consumer)
            yield part, offset, value
            if offset + 1 >= ends.get(part, 0):
                ends.pop(part, None)
    finally:
        consumer.close()


def _next(consumer: Consumer) -> tuple[int, int, bytes]:
    message = consumer.poll(PATIENCE_S)
    if message is None:
        raise TimeoutError(f"no record for {PATIENCE_S} s, and the log's end is not reached")
    if message.error() is not None:
        raise OSError(str(message.error()))
    part, offset, value = message.partition(), message.offset(), message.value()
    assert part is not None
    assert offset is not None
    assert value is not None
    return part, offset, value
