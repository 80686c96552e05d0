"""What a lane asks of a service: to apply one batch inside the lane's fenced transaction."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from shared.database.connection import Connection
from shared.database.outbox import OutboxMessage
from shared.kafka.records import Record


@dataclass(frozen=True, slots=True)
class Batch:
    """Records of one partition in offset order; empty on an idle beat, when only time passes.

    `now` is product time. `watermark` is the instant up to which everything that was received for
    this partition is folded once this batch is (product time, never beyond `now`; None: unknown).
    A time-only change may be written up to the watermark and no further. `may_catch_up`: the turn before
    left more that is due, and now is the time to take much of it: nobody's few events wait for this turn.
    """

    group: str
    topic: str
    part: int
    records: Sequence[Record]
    now: datetime
    watermark: datetime | None
    may_catch_up: bool = False


@dataclass(frozen=True, slots=True)
class Refused:
    """A record that can't be applied; the lane keeps it as a dead letter in the same transaction."""

    record: Record
    code: str
    field: str | None
    reason: str


@dataclass(frozen=True, slots=True)
class Applied:
    """What the batch came to. `more_due` asks for another turn at once, without waiting.

    `held_up` says that something due by the watermark is in another lane's hands: the next turn, in
    its own time, tries again. `unswept`: nobody has looked what is due. With any of them the watermark is
    told to nobody yet. `gives_way`: what is due should leave most of the time to others, for events come by.
    """

    refused: Sequence[Refused] = ()
    messages: Sequence[OutboxMessage] = ()
    more_due: bool = False
    held_up: bool = False
    unswept: bool = False
    gives_way: bool = False
    # Called after the commit and only then, with no arguments: metrics of what really happened.
    after_commit: Sequence["AfterCommit"] = field(default_factory=tuple)


class AfterCommit(Protocol):
    def __call__(self) -> None: ...


class LaneWork(Protocol):
    """One service's effects. One object serves every lane of its group."""

    async def prepare(self, batch: Batch) -> None:
        """Make room for the batch (partitions of tables), outside and before the transaction.

        Idempotent. May raise RetryableError.
        """
        ...

    async def apply(self, connection: Connection, batch: Batch) -> Applied:
        """Apply every record, all effects on `connection`; never commits, never rolls back, begins no transaction.

        It must be a function of the batch and of what the transaction reads: a lane that lost its
        connection applies the same records again. Raises RejectedByStore when the store refuses
        the data: the lane then halves the batch, within savepoints, until the record is found,
        and keeps that one as a dead letter. RetryableError: the lane starts anew.
        """
        ...
