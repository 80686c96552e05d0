"""The writers of every topic in use: made when needed, and more of them when partitions are added."""

import asyncio
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain

from shared.kafka.partition_writer import PartitionWriter
from shared.kafka.producer_holder import ProducerHolder
from shared.kafka.write_batch import PartitionQueue
from shared.kafka.write_budget import Budget
from shared.kafka.write_limits import LogLimits
from shared.observability.metrics import Metrics

# How long a topic that the broker did not know is refused without asking again.
_UNKNOWN_FOR_S = 1.0


class TopicWriters:
    """One writer per partition that the broker speaks of."""

    def __init__(
        self,
        *,
        producers: ProducerHolder,
        budget: Budget,
        limits: LogLimits,
        metrics: Metrics,
        wanted: Sequence[str],
    ) -> None:
        self._producers = producers
        self._budget = budget
        self._limits = limits
        self._metrics = metrics
        self._writers: dict[str, list[PartitionWriter]] = {}
        self._asked: dict[str, float] = dict.fromkeys(wanted, 0.0)

    def __iter__(self) -> Iterator[PartitionWriter]:
        return chain.from_iterable(self._writers.values())

    def of(self, topic: str) -> list[PartitionWriter]:
        """Return the topic's writers in order of partition; none where the topic is not known."""
        count = self._producers.partition_count(topic) or 0
        writers = self._writers.setdefault(topic, [])
        while len(writers) < count:
            writers.append(self._new(topic, len(writers)))
        return writers if len(writers) == count else writers[:count]

    def unknown(self) -> list[str]:
        """Return the topics that were asked for and that the broker does not know."""
        asked = sorted(self._asked)
        return [topic for topic in asked if self._producers.partition_count(topic) is None]

    def ended(self) -> str:
        """Name a partition whose writer has ended by itself; empty: none."""
        ended = (f"{each.topic}/{each.number}" for each in self if each.ended())
        return min(ended, default="")

    async def learn(self, topics: Iterable[str], *, within_s: float) -> None:
        """Ask about the topics that are not known yet, each at most once in a while."""
        for topic in topics:
            if self._producers.partition_count(topic) is None and self._may_ask(topic):
                await self._producers.look_up(topic, within_s=within_s)

    def _may_ask(self, topic: str) -> bool:
        now = asyncio.get_running_loop().time()
        if not self._producers.available or now < self._asked.get(topic, now):
            return False
        self._asked[topic] = now + _UNKNOWN_FOR_S
        return True

    def _new(self, topic: str, number: int) -> PartitionWriter:
        return PartitionWriter(
            topic,
            number,
            queue=PartitionQueue(self._budget.account(), self._limits),
            producers=self._producers,
            limits=self._limits,
            metrics=self._metrics,
        )
