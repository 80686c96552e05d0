"""One life of a lane, on one connection and one consumer: claim, turn after turn, release."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import datetime

from shared.database import lease
from shared.database.connection import Connection, translated
from shared.database.lease import Claim, Partition
from shared.errors import LogTruncated, PermanentError, RetryableError
from shared.kafka.consumer import Fetched, PartitionConsumer
from shared.lanes.beginning import Beginning, beginning_of
from shared.lanes.fold import Fold, Folded, PositionMoved, Turn
from shared.lanes.line import Line
from shared.lanes.log_end import PATIENCE_S, LogEnd
from shared.lanes.pace import Pace
from shared.lanes.read_ahead import ReadAhead
from shared.lanes.setup import LaneSetup, Pulse
from shared.lanes.watermark import EndAnswer, watermark_after
from shared.lanes.work import Batch
from shared.observability import metrics as m
from shared.observability.logging import log

_logger = log(__name__)


class ClaimLost(RetryableError):
    """Somebody else who is alive has the partition."""


class Frozen(PermanentError):
    """The partition is stopped until an operator clears it."""


class LaneRun:
    """Reads and folds one partition from where the claim found it."""

    def __init__(
        self,
        partition: Partition,
        setup: LaneSetup,
        *,
        connection: Connection,
        consumer: PartitionConsumer,
        pulse: Pulse,
        stopping: asyncio.Event,
    ) -> None:
        self._partition = partition
        self._setup = setup
        self._connection = connection
        self._consumer = consumer
        self._pulse = pulse
        self._stop_asked = asyncio.create_task(stopping.wait())
        self._end = LogEnd(consumer)
        self._line = Line(setup.crowd)
        self._reading: ReadAhead | None = None
        self._due_at = float("-inf")
        self._position = 0
        self._watermark: datetime | None = None
        self._incarnation: str | None = None
        self._more_due = False
        self._rests_until = float("-inf")

    async def claim(self) -> None:
        """Take the partition and go to its stored offset. Raises ClaimLost, Frozen, retryables."""
        await self._stop_reading()
        with translated():
            claim = await lease.claim(self._connection, self._partition, self._setup.worker)
        if claim is None:
            raise ClaimLost(f"{self._partition}")
        self._claim = claim
        begins = await self._beginning(claim)
        self._fold = Fold(
            self._partition,
            claim,
            worker=self._setup.worker,
            work=self._setup.work,
            connection=self._connection,
            keeps_ledger=self._setup.keeps_ledger,
            limits=self._setup.limits,
        )
        self._position, self._watermark = begins.offset, claim.watermark
        self._pulse.position = begins.offset
        self._consumer.seek(begins.offset)
        self._reading = ReadAhead(self._consumer, most=self._setup.limits.much_records)
        _logger.info(
            "lane_claimed",
            **self._names(),
            epoch=claim.epoch,
            next_offset=begins.offset,
        )

    async def turn(self, pace: Pace) -> None:
        """Fetch, fold and commit once; with nothing to fetch, stand the fence and let time pass.

        Returns without a commit when told to stop first.
        """
        if not await self._something_to_do():
            return
        answer = self._end.answer()
        catches_up = self._may_catch_up()
        try:
            async with self._room(catches_up=catches_up) as is_much:
                limit = pace.limit if is_much else min(pace.limit, self._setup.limits.much_records)
                await self._turn_now(pace, answer, limit=limit, catches_up=catches_up)
        except PositionMoved as moved:
            self._setup.metrics.count(m.LANE_REWOUND, self._partition.group)
            _logger.warning("lane_position_moved", **self._names(), error=str(moved))
            await self.claim()

    async def _something_to_do(self) -> bool:
        """Wait for a reason for a turn, or until time should pass without any; say no when told to stop first."""
        loop, limits = asyncio.get_running_loop(), self._setup.limits
        if not (self._ahead.is_full or self._more_due):
            await asyncio.wait({self._stop_asked}, timeout=max(0.0, self._due_at - loop.time()))
        await self._wait(limits.idle_s, unless=self._has_reason)
        self._end.ask(self._setup.clock.now(), position=self._position)
        # With nothing else to do, to let time pass as far as the log's end says.
        await self._wait(PATIENCE_S, unless=lambda: self._has_reason() or self._end.is_answered)
        self._due_at = loop.time() + limits.apart_s
        return not self._stop_asked.done()

    def _has_reason(self) -> bool:
        """Say whether to turn at once: for records, or for what is due."""
        return self._ahead.has_news or self._may_catch_up()

    async def _wait(self, at_most_s: float, *, unless: Callable[[], bool]) -> None:
        """Wait until something makes that true, or until told to stop."""
        loop = asyncio.get_running_loop()
        until = loop.time() + at_most_s
        while not (unless() or self._stop_asked.done()) and (left := until - loop.time()) > 0:
            rest = self._rests_until - loop.time() if self._more_due else 0.0
            if self._more_due and rest <= 0:
                self._line.join()
            news = asyncio.create_task(self._ahead.news())
            await asyncio.wait(
                {news, self._stop_asked, *self._end.open, *self._line.open},
                timeout=min(left, rest) if rest > 0 else left,
                return_when=asyncio.FIRST_COMPLETED,
            )
            news.cancel()

    def _may_catch_up(self) -> bool:
        """Say whether to take much of what is due: with many events, or with none. A few should not wait for it."""
        if not self._more_due or self._ahead.is_full:
            return self._more_due
        if asyncio.get_running_loop().time() < self._rests_until:
            return False
        if self._ahead.has_news:
            return False
        return self._line.is_let_in or not self._setup.crowd.locked()

    @asynccontextmanager
    async def _room(self, *, catches_up: bool) -> AsyncIterator[bool]:
        """Wait to be let in; say whether much may be done. What comes meanwhile goes with this turn, not the next.

        For a small turn not for long: who is in there may wait for a row that somebody else holds.
        """
        setup, is_much = self._setup, self._ahead.is_full or catches_up
        if catches_up and self._line.is_let_in:
            try:
                yield True
            finally:
                self._line.leave()
            return
        if self._ahead.has_news:  # others need not wait for these events
            self._line.leave()
        room = setup.crowd if is_much else setup.small_turns
        try:
            async with asyncio.timeout(None if is_much else setup.limits.queue_s):
                await room.acquire()
        except TimeoutError:
            yield is_much
            return
        try:
            yield is_much
        finally:
            room.release()

    async def _turn_now(
        self, pace: Pace, answer: EndAnswer | None, *, limit: int, catches_up: bool
    ) -> None:
        fetched = await self._ahead.take(limit)
        self._check(answer)
        turn = self._turn(fetched, answer, catches_up=catches_up)
        started = asyncio.get_running_loop().time()
        folded = await self._fold.fold(turn)
        seconds = asyncio.get_running_loop().time() - started
        pace.note_turn(len(turn.batch.records), seconds=seconds)
        self._note(turn, folded, seconds=seconds)

    def _check(self, answer: EndAnswer | None) -> None:
        """Raise LogTruncated where the log is not the one that was claimed: the next claim says more."""
        if answer is None:
            return
        if answer.end < answer.position:
            raise LogTruncated(f"the log ends at {answer.end}, the lane was at {answer.position}")
        if None not in (answer.incarnation, self._incarnation) and (
            answer.incarnation != self._incarnation
        ):
            raise LogTruncated("the topic was made anew")

    async def release(self) -> None:
        """Give the partition up, as the last statement, and tell those who wait for it."""
        with translated():
            await lease.release(
                self._connection,
                self._partition,
                self._setup.worker,
                epoch=self._claim.epoch,
            )
            await lease.notify(self._connection, self._partition.group)
        _logger.info("lane_released", **self._names(), next_offset=self._position)

    async def freeze(self, reason: str) -> None:
        """Stop the partition for everybody. Raises Frozen."""
        with translated():
            await lease.freeze(
                self._connection,
                self._partition,
                self._setup.worker,
                epoch=self._claim.epoch,
                reason=reason,
            )
            await lease.notify(self._connection, self._partition.group)
        _logger.critical("lane_frozen", **self._names(), reason=reason)
        raise Frozen(reason)

    async def stop(self) -> None:
        """End the tasks of this life."""
        self._stop_asked.cancel()
        self._line.leave()
        await self._stop_reading()
        await self._end.stop()

    async def _stop_reading(self) -> None:
        if self._reading is not None:
            await self._reading.stop()
            self._reading = None

    @property
    def _ahead(self) -> ReadAhead:
        assert self._reading is not None, "a lane takes records once it has claimed its partition"  # noqa: S101
        return self._reading

    async def _beginning(self, claim: Claim) -> Beginning:
        """Find where to begin, patiently: after a restart the broker may not know all it has yet."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._setup.limits.truncation_patience_s
        while True:
            bounds = await self._consumer.bounds()
            begins = beginning_of(claim, bounds, policy=self._setup.limits.lost_records)
            if begins.frozen_reason is None or loop.time() >= deadline:
                break
            await asyncio.sleep(self._setup.limits.idle_s)
        if begins.lost:
            self._setup.metrics.count(m.LANE_RECORDS_LOST, self._partition.group, by=begins.lost)
            _logger.critical("lane_records_lost", **self._names(), records=begins.lost)
        if begins.frozen_reason is not None:
            await self.freeze(begins.frozen_reason)
        if (begins.offset, bounds.incarnation) != (claim.next_offset, claim.incarnation):
            with translated():
                await lease.begin_at(
                    self._connection,
                    self._partition,
                    epoch=claim.epoch,
                    next_offset=begins.offset,
                    incarnation=bounds.incarnation or claim.incarnation,
                )
        self._incarnation = bounds.incarnation or claim.incarnation
        return begins

    def _turn(self, fetched: Fetched, answer: EndAnswer | None, *, catches_up: bool) -> Turn:
        now = self._setup.clock.now()
        records = fetched.records
        if records and records[0].offset < self._position:
            # Handed out before a seek, and folded already.
            records = [each for each in records if each.offset >= self._position]
        next_offset = max(self._position, fetched.next_offset)
        self._watermark = watermark_after(
            self._watermark,
            newest_ms=max([each.timestamp_ms for each in records], default=None),
            position=next_offset,
            answer=answer,
            now=now,
        )
        place = self._partition
        batch = Batch(
            group=place.group,
            topic=place.topic,
            part=place.part,
            records=records,
            now=now,
            watermark=None if self._watermark is None else min(self._watermark, now),
            may_catch_up=catches_up,
        )
        return Turn(batch, self._position, next_offset, None if answer is None else answer.end)

    def _note(self, turn: Turn, folded: Folded, *, seconds: float) -> None:
        gaps = turn.next_offset - turn.position - len(turn.batch.records)
        self._position = turn.next_offset
        if not folded.applied.unswept:
            self._more_due = folded.applied.more_due
        if not self._more_due:
            self._line.leave()
        if turn.batch.may_catch_up and folded.applied.gives_way:
            limits = self._setup.limits
            rest_s = max(limits.rest_least_s, limits.rests * seconds)
            self._rests_until = asyncio.get_running_loop().time() + rest_s
        self._pulse.note_turn(
            asyncio.get_running_loop().time(), position=self._position, end=turn.end_offset
        )
        for then in folded.applied.after_commit:
            then()
        if folded.applied.messages:
            self._setup.sent()
        self._measure(turn, folded, seconds=seconds, gaps=gaps)

    def _measure(self, turn: Turn, folded: Folded, *, seconds: float, gaps: int) -> None:
        metrics, place = self._setup.metrics, self._partition
        names = (place.group, place.topic)
        metrics.count(m.LANE_BATCHES, *names)
        metrics.observe(m.LANE_BATCH_SECONDS, seconds, *names)
        if turn.batch.records:
            metrics.count(m.LANE_RECORDS, *names, by=len(turn.batch.records))
            metrics.observe(m.LANE_BATCH_RECORDS, len(turn.batch.records), *names)
        if gaps:
            metrics.count(m.LANE_OFFSET_GAPS, place.group, by=gaps)
        for refused in folded.applied.refused:
            metrics.count(m.DEAD_LETTERS, place.group, refused.code)
        self._measure_lag(turn)

    def _measure_lag(self, turn: Turn) -> None:
        metrics, place = self._setup.metrics, self._partition
        names = (place.group, place.topic, str(place.part))
        if turn.end_offset is not None:
            metrics.set(m.LANE_LAG_RECORDS, max(0, turn.end_offset - turn.next_offset), *names)
        if turn.batch.watermark is not None:
            age = (turn.batch.now - turn.batch.watermark).total_seconds()
            metrics.set(m.LANE_WATERMARK_AGE_SECONDS, age, *names)

    def _names(self) -> dict[str, object]:
        place = self._partition
        return {"group": place.group, "topic": place.topic, "part": place.part}
