"""One turn of a lane: everything that a batch does, in one fenced transaction."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from shared.contracts.dead_letters import DeadLetter
from shared.database import dead_letters, lease, ledger, outbox, session
from shared.database.connection import Connection, translated
from shared.database.lease import Claim, Partition, Progress
from shared.errors import LaneFenced, RetryableError
from shared.lanes.isolation import TooManyRefused, apply_halving, count_in_a_row
from shared.lanes.limits import LaneLimits
from shared.lanes.work import Applied, Batch, LaneWork, Refused


class PositionMoved(RetryableError):
    """The stored offset is not the lane's position: it went back, or somebody moved it."""


@dataclass(frozen=True, slots=True)
class Turn:
    """What one transaction covers: a batch, and the offsets from `position` up to `next_offset`."""

    batch: Batch
    position: int
    next_offset: int
    end_offset: int | None


@dataclass(frozen=True, slots=True)
class Folded:
    """What a turn came to, once it is committed."""

    applied: Applied
    refused_in_a_row: int


Apply = Callable[[Batch], Awaitable[Applied]]


class Fold:
    """Applies turns of one partition under one claim, on one connection."""

    def __init__(  # noqa: PLR0913  built in one place
        self,
        partition: Partition,
        claim: Claim,
        *,
        worker: str,
        work: LaneWork,
        connection: Connection,
        keeps_ledger: bool,
        limits: LaneLimits,
    ) -> None:
        self._partition = partition
        self._claim = claim
        self._worker = worker
        self._work = work
        self._connection = connection
        self._keeps_ledger = keeps_ledger
        self._limits = limits
        self._refused_in_a_row = 0

    async def fold(self, turn: Turn) -> Folded:
        """Apply the turn and commit it. Deadlocks try again, from the fence on.

        Raises LaneFenced, PositionMoved, TooManyRefused, StoreUnavailable; nothing was written then,
        unless the connection was lost during the commit: the stored offset tells.
        """
        with translated():
            await self._work.prepare(turn.batch)
        for _ in range(self._limits.conflict_attempts - 1):
            try:
                return await self._fold(turn)
            except RetryableError as error:
                if not session.is_conflict(error):
                    raise
        return await self._fold(turn)

    async def _fold(self, turn: Turn) -> Folded:
        with translated():
            try:
                return await self._transact(turn, self._apply_whole)
            except (RetryableError, TooManyRefused):
                raise
            except (
                Exception
            ):  # one of the three places: a record that can't be applied, whatever it did
                if not turn.batch.records:
                    raise
            return await self._transact(turn, self._apply_in_pieces)

    async def _transact(self, turn: Turn, apply: Apply) -> Folded:
        """A small batch feels each round trip: the fence goes with BEGIN, and the offset with COMMIT."""
        try:
            await self._stand_the_fence(turn.position)
            applied = await apply(turn.batch)
            in_a_row = await self._keep(turn, applied)
            progress = _progress(turn, applied)
            await lease.advance_and_commit(self._connection, self._partition, progress)
        except BaseException:
            await session.roll_back(self._connection)
            raise
        self._refused_in_a_row = in_a_row
        return Folded(applied, in_a_row)

    async def _apply_whole(self, batch: Batch) -> Applied:
        with translated():
            return await self._work.apply(self._connection, batch)

    async def _apply_in_pieces(self, batch: Batch) -> Applied:
        return await apply_halving(self._work, self._connection, replace(batch, watermark=None))

    async def _stand_the_fence(self, position: int) -> None:
        """Lock the partition's row to the end of the transaction, and go on only if it is still ours.

        The offset must equal the position: after a fail-over of the database it may have gone back.
        """
        epoch = self._claim.epoch
        if await lease.begin_holding(
            self._connection, self._partition, self._worker, epoch=epoch, next_offset=position
        ):
            return
        held = await lease.stored(self._connection, self._partition)
        if held is None or (held.owner, held.epoch) != (self._worker, epoch):
            raise LaneFenced(f"{self._partition}: held {held}, claimed epoch {epoch}")
        raise PositionMoved(f"{self._partition}: stored {held.next_offset}, here {position}")

    async def _keep(self, turn: Turn, applied: Applied) -> int:
        """Write what the batch leaves behind; return how many records in a row are refused now."""
        in_a_row = self._judge_refused(turn.batch, applied.refused)
        await self._keep_refused(applied.refused, turn.batch.now)
        await self._send(applied)
        await self._write_ledger(turn)
        return in_a_row

    def _judge_refused(self, batch: Batch, refused: Sequence[Refused]) -> int:
        return count_in_a_row(
            batch.records,
            refused,
            before=self._refused_in_a_row,
            limit=self._limits.refused_in_a_row,
        )

    async def _keep_refused(self, refused: Sequence[Refused], now: datetime) -> None:
        if refused:
            letters = [(self._letter(each, now), self._place(each)) for each in refused]
            await dead_letters.insert(self._connection, letters)

    async def _send(self, applied: Applied) -> None:
        if applied.messages:
            group, part = self._partition.group, self._partition.part
            await outbox.insert(self._connection, group, part, messages=applied.messages)

    async def _write_ledger(self, turn: Turn) -> None:
        if self._keeps_ledger and turn.next_offset != turn.position:
            await ledger.write(
                self._connection,
                self._partition,
                epoch=self._claim.epoch,
                from_offset=turn.position,
                to_offset=turn.next_offset,
            )

    def _letter(self, refused: Refused, now: datetime) -> DeadLetter:
        place = self._partition
        return DeadLetter(
            dead_letter_id=f"{place.group}/{place.topic}/{place.part}/{refused.record.offset}",
            code=refused.code,
            field=refused.field,
            reason=refused.reason,
            origin=place.group,
            refused_at=now,
            value=refused.record.value,
            key=refused.record.key,
        )

    def _place(self, refused: Refused) -> dead_letters.Place:
        return dead_letters.Place(
            self._partition.topic, self._partition.part, refused.record.offset
        )


def _progress(turn: Turn, applied: Applied) -> Progress:
    """Return how far the turn gets. Its watermark is told to nobody while users are due up to it.

    Whoever reads a watermark takes the numbers for exact as of then, time's own changes included.
    """
    until = turn.batch.watermark
    is_swept = not (applied.more_due or applied.held_up or applied.unswept)
    return Progress(
        turn.next_offset,
        folded_until=until,
        watermark=until if is_swept else None,
        end_offset=turn.end_offset,
        folded_at=turn.batch.now,
    )
