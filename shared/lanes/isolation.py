"""Finds the one record that can't be applied, and keeps its neighbours."""

from collections.abc import Sequence
from dataclasses import replace

from shared.database import session
from shared.database.connection import Connection, translated
from shared.errors import PermanentError, RejectedByStore, RetryableError
from shared.kafka.records import Record
from shared.lanes.work import Applied, Batch, LaneWork, Refused

CODE_REJECTED = "rejected_by_store"
CODE_FAILED = "not_applicable"


class TooManyRefused(PermanentError):
    """So many records in a row were refused that the fault is more likely ours than theirs."""


async def apply_halving(work: LaneWork, connection: Connection, batch: Batch) -> Applied:
    """Apply the batch in pieces, each in a savepoint, halving what fails down to single records.

    The batch must come without a watermark: a piece has not folded what its neighbours hold, so
    no time-only change may be written from it. Another turn is asked for, which may.
    """
    pieces = await _apply_piece(work, connection, batch)
    return Applied(
        refused=[refused for piece in pieces for refused in piece.refused],
        messages=[message for piece in pieces for message in piece.messages],
        more_due=True,
        after_commit=[then for piece in pieces for then in piece.after_commit],
    )


async def _apply_piece(work: LaneWork, connection: Connection, batch: Batch) -> list[Applied]:
    try:
        with translated():
            async with session.savepoint(connection):
                return [await work.apply(connection, batch)]
    except RetryableError:
        raise
    except Exception as error:  # noqa: BLE001  the consumer loop: whatever a record makes the work do
        if len(batch.records) == 1:
            return [Applied(refused=[_refused(batch.records[0], error)])]
    middle = len(batch.records) // 2
    halves = batch.records[:middle], batch.records[middle:]
    return [
        piece
        for half in halves
        for piece in await _apply_piece(work, connection, replace(batch, records=half))
    ]


def count_in_a_row(
    records: Sequence[Record], refused: Sequence[Refused], *, before: int, limit: int
) -> int:
    """Return how many records in a row are refused at the batch's end, given how many were before.

    Raises TooManyRefused where the row reaches the limit within the batch.
    """
    if not refused:
        return 0 if records else before
    offsets = {each.record.offset for each in refused}
    row = before
    for record in records:
        row = row + 1 if record.offset in offsets else 0
        if row >= limit:
            raise TooManyRefused(f"{row} records in a row were refused: {refused[-1].reason}")
    return row


def _refused(record: Record, error: Exception) -> Refused:
    code = CODE_REJECTED if isinstance(error, RejectedByStore) else CODE_FAILED
    return Refused(record, code=code, field=None, reason=f"{type(error).__name__}: {error}")
