"""A writer that ends by itself can be seen from outside, and one that was stopped is no alarm."""

import asyncio
from typing import Any

from prometheus_client import CollectorRegistry

from shared.kafka.log import LogRecord, Outcome
from shared.kafka.producer_holder import ProducerHolder
from shared.kafka.topic_writers import TopicWriters
from shared.kafka.write_batch import Entry, Request
from shared.kafka.write_budget import Budget
from shared.kafka.write_limits import LogLimits
from shared.observability.metrics import Metrics

LIMITS = LogLimits()
METRICS = Metrics(CollectorRegistry())


class BrokenProducers(ProducerHolder):
    """Knows of two partitions, and fails on a send as nobody foresaw."""

    def __init__(self) -> None:
        super().__init__(bootstrap="", client_id="test", metrics=METRICS, limits=LIMITS)
        self.called = asyncio.Event()

    def partition_count(self, topic: str) -> int | None:  # noqa: ARG002
        return 2

    async def send(self, batch: Any, *, topic: str, partition: int) -> Outcome:  # noqa: ARG002
        self.called.set()
        raise KeyError(partition)


def writers_on(producers: ProducerHolder) -> TopicWriters:
    budget = Budget(total=LIMITS.budget_bytes, share=1.0)
    return TopicWriters(
        producers=producers, budget=budget, limits=LIMITS, metrics=METRICS, wanted=()
    )


async def test_a_writer_that_failed_as_nobody_foresaw_is_named_as_ended() -> None:
    producers = BrokenProducers()
    writers = writers_on(producers)
    _, second = writers.of("t")
    assert writers.ended() == ""

    record = LogRecord(topic="t", key=b"k", value=b"v", timestamp_ms=1)
    second.admit(Entry(record, 1, Request(1, asyncio.get_running_loop().create_future()), 0))
    await producers.called.wait()
    await second.stop()

    assert writers.ended() == "t/1"


async def test_writers_that_were_stopped_have_not_ended_by_themselves() -> None:
    writers = writers_on(BrokenProducers())

    for writer in writers.of("t"):
        await writer.stop()

    assert writers.ended() == ""
