"""One lane: claims a partition, folds it in order, and gives it up. One task, one connection to
Postgres, one consumer; any error closes both and starts the lane anew from what is stored.
"""

import asyncio
from collections.abc import Callable
from enum import StrEnum

from shared.database import session
from shared.database.lease import Partition
from shared.errors import LaneFenced, RetryableError
from shared.kafka.consumer import PartitionConsumer
from shared.lanes.isolation import TooManyRefused
from shared.lanes.limits import Backoff
from shared.lanes.pace import Pace
from shared.lanes.run import ClaimLost, Frozen, LaneRun
from shared.lanes.setup import LaneSetup, Pulse
from shared.observability import metrics as m
from shared.observability.logging import log

_logger = log(__name__)


class Ending(StrEnum):
    """Why a lane ended for good."""

    RELEASED = "released"
    FENCED = "fenced"
    CLAIM_LOST = "claim_lost"
    FROZEN = "frozen"


class Lane:
    """Works one partition. Its identity counts, not its partition: a lease may soon come back."""

    def __init__(self, partition: Partition, setup: LaneSetup) -> None:
        self.partition = partition
        self.claimed = False
        now = asyncio.get_running_loop().time()
        self.pulse = Pulse(alive_at=now, moved_at=now)
        self._setup = setup
        self._stopping = asyncio.Event()
        self._pace = Pace(setup.limits.batch_records)

    def release(self) -> None:
        """Ask the lane to finish what it has in hand, give the partition up, and end."""
        self._stopping.set()

    async def work(self) -> Ending:
        """Fold until released, or until the partition is lost. Every other error starts it anew."""
        backoff = Backoff(self._setup.limits)
        while not self._stopping.is_set():
            try:
                return await self._live(on_turn=backoff.reset)
            except LaneFenced as error:
                return self._end_fenced(error)
            except ClaimLost:
                return Ending.CLAIM_LOST
            except Frozen:
                return Ending.FROZEN
            except Exception as error:  # noqa: BLE001  the consumer loop: only the above may end it
                self._note_trouble(error)
            finally:
                self.claimed = False
            await self._pause(backoff.next_s())
        return Ending.RELEASED

    async def _live(self, *, on_turn: Callable[[], None]) -> Ending:
        """Connect to both, work, and let go of both."""
        place, setup = self.partition, self._setup
        self.pulse.begin_life(asyncio.get_running_loop().time())
        consumer = PartitionConsumer(
            setup.bootstrap, place.topic, place.part, client_id=setup.worker
        )
        await consumer.start()
        try:
            connection = await session.connect(setup.dsn, worker=setup.worker)
            run = LaneRun(
                place,
                setup,
                connection=connection,
                consumer=consumer,
                pulse=self.pulse,
                stopping=self._stopping,
            )
            try:
                return await self._run(run, on_turn=on_turn)
            finally:
                await run.stop()
                await session.close(connection)
        finally:
            await consumer.stop()

    async def _run(self, run: LaneRun, *, on_turn: Callable[[], None]) -> Ending:
        await run.claim()
        self.claimed = True
        try:
            while not self._stopping.is_set():
                await run.turn(self._pace)
                on_turn()
        except TooManyRefused as error:
            await run.freeze(str(error))
        await run.release()
        return Ending.RELEASED

    async def _pause(self, seconds: float) -> None:
        try:
            await asyncio.wait_for(self._stopping.wait(), seconds)
        except TimeoutError:
            return

    def _end_fenced(self, error: LaneFenced) -> Ending:
        self._setup.metrics.count(m.LANE_FENCED, self.partition.group)
        _logger.warning("lane_fenced", error=str(error), topic=self.partition.topic)
        return Ending.FENCED

    def _note_trouble(self, error: Exception) -> None:
        """Count and log it, and take less at once: the batch may have been too much for the limits."""
        why = type(error).__name__
        self.pulse.trouble = f"{why}: {error}"
        self._pace.note_trouble()
        self._setup.metrics.count(m.LANE_RESTARTS, self.partition.group, why)
        place = self.partition
        _logger.warning(
            "lane_restarts",
            group=place.group,
            topic=place.topic,
            part=place.part,
            error=self.pulse.trouble,
            # A retryable error says all there is to say; anything else wants its stack.
            exc_info=None if isinstance(error, RetryableError) else error,
        )
