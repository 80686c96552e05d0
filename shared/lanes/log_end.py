"""Asks where the log ends, while the lane fetches: the two share a connection, and a broker answers
one request of a connection after the other, so the answer comes when the fetch's does.
"""

import asyncio
from datetime import datetime

from shared.errors import BrokerUnavailable
from shared.kafka.consumer import PartitionConsumer
from shared.lanes.watermark import EndAnswer

# What an answer may be late after a fetch that found nothing: then there is nothing else to do.
GRACE_S = 0.05
# A lane in full flow turns many times a second; its lag need not be known more often than this.
APART_S = 0.2


class LogEnd:
    """At most one question at a time; an answer stays true however late it is taken."""

    def __init__(self, consumer: PartitionConsumer) -> None:
        self._consumer = consumer
        self._question: asyncio.Task[EndAnswer | None] | None = None
        self._asked_at = float("-inf")

    def ask(self, now: datetime) -> None:
        """Begin to ask, if it is time to, noting product time `now` first."""
        at = asyncio.get_running_loop().time()
        if self._question is None and at - self._asked_at >= APART_S:
            self._asked_at = at
            self._question = asyncio.create_task(self._ask(now))

    async def answer(self, *, idle: bool) -> EndAnswer | None:
        """Return the answer if there is one by now. Raises nothing: no answer is no news."""
        if self._question is None:
            return None
        if idle:
            await asyncio.wait({self._question}, timeout=GRACE_S)
        if not self._question.done():
            return None
        question, self._question = self._question, None
        return question.result()

    async def stop(self) -> None:
        if self._question is not None:
            self._question.cancel()
            await asyncio.wait({self._question})
            self._question = None

    async def _ask(self, now: datetime) -> EndAnswer | None:
        try:
            return EndAnswer(now, await self._consumer.end_offset())
        except BrokerUnavailable:
            return None
