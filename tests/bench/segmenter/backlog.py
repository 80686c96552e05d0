"""A backlog in Kafka: envelopes as ingest writes them, received in the past and not folded yet."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from uuid import uuid4

import msgspec
from confluent_kafka import KafkaException, Producer

from shared.contracts import topics
from shared.contracts.codec import encode
from shared.contracts.events import EventEnvelope
from shared.kafka.partitioner import partition_of
from shared.vocabulary import EventType
from tests.bench.load import event
from tests.bench.segmenter.workload import Workload, user_id, user_numbers

# From the event to its receipt.
UNDERWAY = timedelta(milliseconds=40)
SEED = 20_261_127
# What people do, by how often: a funnel of some steps meets a third of the events.
NAMES = (
    *["Song Played", "Song Played", "Song Searched"] * 8,
    *["Song Played", "Song Played", "Playlist Made"] * 3,
    *["Song Played", "Song Played", "Plan Upgraded"],
)
_PRODUCER = {
    "acks": "all",
    "linger.ms": 20,
    "batch.num.messages": 5_000,
    "batch.size": 2_000_000,
    "queue.buffering.max.messages": 400_000,
    "queue.buffering.max.kbytes": 1_000_000,
}


def envelopes(
    workload: Workload, events: int, *, first: datetime, span: timedelta, seed: int = SEED
) -> Iterator[EventEnvelope]:
    """Yield events received evenly over the span, in the order of their receipt."""
    run = uuid4().hex[:12]
    step = span / events
    for number, user in enumerate(user_numbers(workload, events, seed=seed)):
        yield envelope(
            identity=f"{run}-{number:010d}-backlog",
            user=user_id(user),
            received_at=first + number * step,
            name=NAMES[number % len(NAMES)],
        )


def envelope(
    *, identity: str, user: str, received_at: datetime, name: str = NAMES[0]
) -> EventEnvelope:
    at = received_at - UNDERWAY
    payload = event(
        identity=identity, user=user, at=at.isoformat(timespec="milliseconds"), name=name
    )
    return EventEnvelope(
        source="bench",
        event_id=identity,
        user_id=user,
        type=EventType.TRACK,
        name=name,
        timestamp=at,
        received_at=received_at,
        payload=msgspec.Raw(payload.encode()),
    )


def write(
    bootstrap: str, workload: Workload, events: int, *, first: datetime, span: timedelta
) -> None:
    """Write the backlog into the events topic, and return when Kafka has all of it."""
    producer = Producer({"bootstrap.servers": bootstrap, **_PRODUCER})
    for each in envelopes(workload, events, first=first, span=span):
        _produce(producer, each)
    if left := producer.flush(60):
        raise RuntimeError(f"Kafka did not take {left} events of the backlog")


def _produce(producer: Producer, each: EventEnvelope) -> None:
    key = each.user_id.encode()
    while True:
        try:
            producer.produce(
                topics.EVENTS.name,
                value=encode(each),
                key=key,
                partition=partition_of(key, topics.DEFAULT_PARTITIONS),
                timestamp=int(each.received_at.timestamp() * 1_000),
                on_delivery=_complain,
            )
        except BufferError:
            producer.poll(0.1)
        else:
            producer.poll(0)
            return


def _complain(error: object, _message: object) -> None:
    if error is not None:
        raise KafkaException(error)
