"""Asks where the log ends, while the lane fetches: the two share a connection, and a broker answers
one request of a connection after the other, so the answer comes when the fetch's does.
"""

import asyncio
from datetime import datetime

from shared.errors import BrokerUnavailable
from shared.kafka.consumer import PartitionConsumer
from shared.lanes.watermark import EndAnswer

# So long an answer takes at most, behind a fetch that finds nothing, unless something is wrong.
PATIENCE_S = 0.2
# A lane in full flow turns many times a second; its lag need not be known more often than this.
APART_S = 0.2
# A topic that is made anew is as good as a torn log, and as rare.
INCARNATION_S = 2.0


class LogEnd:
    """At most one question at a time; an answer stays true however late it is taken."""

    def __init__(self, consumer: PartitionConsumer) -> None:
        self._consumer = consumer
        self._question: asyncio.Task[EndAnswer | None] | None = None
        self._asked_at = float("-inf")
        self._incarnation_at = float("-inf")

    def ask(self, now: datetime, *, position: int) -> None:
        """Begin to ask, if it is time to, noting product time and the lane's position first."""
        at = asyncio.get_running_loop().time()
        if self._question is None and at - self._asked_at >= APART_S:
            self._asked_at = at
            self._question = asyncio.create_task(self._ask(now, position))

    @property
    def open(self) -> set[asyncio.Task[EndAnswer | None]]:
        """Give what to wait for where there is nothing else to do: the question, unless it is answered."""
        return set() if self._question is None or self._question.done() else {self._question}

    @property
    def is_answered(self) -> bool:
        return self._question is not None and self._question.done()

    def answer(self) -> EndAnswer | None:
        """Return the answer if there is one by now. Raises nothing: no answer is no news."""
        if self._question is None or not self._question.done():
            return None
        question, self._question = self._question, None
        return question.result()

    async def stop(self) -> None:
        if self._question is not None:
            self._question.cancel()
            await asyncio.wait({self._question})
            self._question = None

    async def _ask(self, now: datetime, position: int) -> EndAnswer | None:
        try:
            # At once, for the same reason: each answer may have to wait for a fetch.
            end, incarnation = await asyncio.gather(
                self._consumer.end_offset(), self._ask_incarnation()
            )
            return EndAnswer(now, end, incarnation, position)
        except BrokerUnavailable:
            return None

    async def _ask_incarnation(self) -> str | None:
        at = asyncio.get_running_loop().time()
        if at - self._incarnation_at < INCARNATION_S:
            return None
        self._incarnation_at = at
        return await self._consumer.incarnation()
