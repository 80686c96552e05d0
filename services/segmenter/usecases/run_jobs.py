"""Run background jobs: in small transactions, each with its cursor, so that whoever is killed loses nothing.

To add a kind:

1. Write a class that keeps `JobKind`. `step` does a piece of the work in the transaction that it is given, some
   tenths of a second of it, and returns the cursor to go on from; None ends the job. The cursor is saved in the
   same transaction, so a piece is done once. What must have been seen by every lane is waited for with a fence
   (`services.segmenter.outbound.fences`): take its number in one step, return `waits=True` until it has ended.
2. Name it in `wiring.py`, in `_job_kinds`.
3. Ask for it by a row of `jobs` (kind, argument, requested_by, created_at, updated_at), in the transaction that
   makes it necessary.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol, TypeVar
from uuid import UUID

from shared.errors import RetryableError

T = TypeVar("T")  # what a step works with: the connection, in its transaction
T_co = TypeVar("T_co", covariant=True)
T_contra = TypeVar("T_contra", contravariant=True)

# Between two looks at what a job waits for.
WAIT_S = 0.2


@dataclass(frozen=True, slots=True)
class Job:
    """A job as its last step left it. `cursor` None: it has not begun."""

    job_id: UUID
    kind: str
    argument: Mapping[str, Any]
    cursor: str | None
    done: int
    total: int | None
    result: Mapping[str, Any] | None


@dataclass(frozen=True, slots=True)
class Stepped:
    """What one transaction of a job came to. `cursor` None: the job is over.

    `work` is how much of it counts against the kind's rate. `waits`: nothing to do before others end.
    """

    cursor: str | None
    done: int
    total: int | None
    result: Mapping[str, Any] | None = None
    work: int = 0
    waits: bool = False
    after_commit: Sequence[Callable[[], None]] = ()


class JobKind(Protocol[T_contra]):
    """How one kind of job is done."""

    @property
    def rate(self) -> float | None:
        """How much work a second it may do; None: as fast as it goes."""
        ...

    async def prepare(self) -> None:
        """Do what a step needs and can't do in its transaction. Raises RetryableError."""
        ...

    async def step(self, transaction: T_contra, job: Job, *, now: datetime) -> Stepped:
        """Do the next piece. RetryableError: it is tried again; any other error fails the job."""
        ...


class Held(Protocol[T_co]):
    """A job in hand: its row is locked to the end of the transaction."""

    @property
    def job(self) -> Job: ...

    @property
    def transaction(self) -> T_co: ...

    async def keep(self, stepped: Stepped, *, now: datetime) -> None:
        """Save how far the job is, and renew its lease."""
        ...


class JobDesk(Protocol[T_co]):
    """Jobs as one worker sees them. Every method may raise StoreUnavailable."""

    async def take(self, kinds: Collection[str], *, now: datetime) -> tuple[UUID, str] | None:
        """Lease the oldest job of these kinds that waits, or whose worker is gone; return its id and kind."""
        ...

    def hold(self, job_id: UUID) -> AbstractAsyncContextManager[Held[T_co] | None]:
        """Open a transaction with the job in hand; None: it is not this worker's any more."""
        ...

    async def fail(self, job_id: UUID, why: str, *, now: datetime) -> None:
        """End the job for good, unless somebody else has it."""
        ...

    async def release(self, job_id: UUID) -> None:
        """Let others go on with the job at once."""
        ...


async def run_step(
    job_id: UUID, *, desk: JobDesk[T], kind: JobKind[T], now: datetime
) -> Stepped | None:
    """Do the next piece of a job and commit it; None: there is none left, or it is not ours any more.

    Raises RetryableError; nothing was written then, unless the connection was lost during the commit.
    """
    await kind.prepare()
    try:
        async with desk.hold(job_id) as held:
            if held is None:
                return None
            stepped = await kind.step(held.transaction, held.job, now=now)
            await held.keep(stepped, now=now)
    except RetryableError:
        raise
    except Exception as error:
        await desk.fail(job_id, f"{type(error).__name__}: {error}", now=now)
        raise
    for then in stepped.after_commit:
        then()
    return stepped


def pause_s(stepped: Stepped, *, rate: float | None, took_s: float) -> float:
    """Return how long to rest after a step, so that the job keeps to its kind's rate."""
    if stepped.waits:
        return WAIT_S
    if rate is None or stepped.cursor is None:
        return 0.0
    return max(0.0, stepped.work / rate - took_s)
