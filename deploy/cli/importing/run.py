"""The run of one import: signals, the display, and how it ended."""

import asyncio
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import stamina.instrumentation
from rich.console import Console

from deploy.cli.exits import Failed, NoServer, Status
from deploy.cli.importing.chunks import in_chunks
from deploy.cli.importing.display import Display, display_for
from deploy.cli.importing.importer import Importer, Limits, TooManyRejects
from deploy.cli.importing.judging import Judge
from deploy.cli.importing.progress_file import Progress, ProgressFile
from deploy.cli.importing.rejects import RejectsFile
from deploy.cli.importing.rows import Rows
from deploy.cli.importing.sender import Pace, Sender
from deploy.cli.places import Place

GOES_ON = "the same command goes on from there"


@dataclass(frozen=True, slots=True)
class Sending:
    """How events are sent, and where what is kept of it lies."""

    server: Place
    batch: int
    limits: Limits
    per_s: float | None
    patience_s: float
    state: Path
    rejects: Path | None
    restart: bool


@dataclass(frozen=True, slots=True)
class Opened:
    """A file of history with all that belongs to its import."""

    path: Path
    rows: Rows
    judge: Judge
    progress: ProgressFile
    rejects: RejectsFile


class Stopped:
    """Set by the first signal; the second ends the import at once."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self.asked = asyncio.Event()
        self.status = Status.DONE

    def take(self, status: Status, task: "asyncio.Task[object] | None") -> None:
        self.status = status
        if not self.asked.is_set():
            self._say(
                "stopping once what is on its way is answered; a second signal ends it at once"
            )
        elif task is not None:
            task.cancel()
        self.asked.set()


async def run_import(
    opened: Opened,
    sending: Sending,
    begun: Progress,
    console: Console,
    *,
    unchanged: Callable[[], bool],
) -> Status:
    """Import what is left of a file and say how that went. Raises Failed."""
    loop = asyncio.get_running_loop()
    stamina.instrumentation.set_on_retry_hooks([])  # the display tells of retries
    display = display_for(console, opened.path.name, now=loop.time)
    began = loop.time()
    with display, _signals(display.say) as stopped:
        if begun.rows:
            display.say(f"{opened.path}: going on at line {begun.line:,}, {counts(begun)}")
        try:
            done = await _import(opened, sending, begun, display, stopped.asked)
        except TooManyRejects:
            raise TooMany(opened, sending.limits) from None
        except NoServer as error:
            raise NoServer(f"{error}\n{opened.path}: what is done is kept; {GOES_ON}") from None
        except asyncio.CancelledError:
            return stopped.status
    if stopped.asked.is_set():
        print(f"{opened.path}: stopped at line {done.line:,}, {counts(done)}; {GOES_ON}")
        return stopped.status
    if not unchanged():
        raise Failed(f"{opened.path} was changed while it was read; --restart imports it again")
    opened.progress.save(done.at_the_end())
    print(f"{opened.path}: {counts(done, opened.rejects.path)}, {loop.time() - began:.1f} s")
    return Status.PARTLY if done.rejected else Status.DONE


class TooMany(Failed):
    """More rows were rejected than --max-rejects allows."""

    status = Status.PARTLY

    def __init__(self, opened: Opened, limits: Limits) -> None:
        super().__init__(
            f"{opened.path}: more than {limits.max_rejects:,} rows were rejected, as "
            f"{opened.rejects.path} says; with a greater --max-rejects {GOES_ON}"
        )


def counts(progress: Progress, rejects: Path | None = None) -> str:
    events = f"{progress.accepted:,} events imported"
    if not progress.rejected:
        return events
    where = "" if rejects is None else f" ({rejects})"
    return f"{events}, {progress.rejected:,} rows rejected{where}"


async def _import(
    opened: Opened, sending: Sending, begun: Progress, display: Display, stop: asyncio.Event
) -> Progress:
    def told(progress: Progress) -> None:
        display.show(opened.rows.part_read(), progress.rows - begun.rows, progress.rejected)

    async with Sender(
        sending.server,
        patience_s=sending.patience_s,
        connections=sending.limits.in_flight,
        told=_seldom(display.say),
    ) as sender:
        importer = Importer(
            sender,
            pace=Pace(sending.per_s, now=asyncio.get_running_loop().time),
            limits=sending.limits,
            progress=opened.progress,
            rejects=opened.rejects,
            told=told,
        )
        judged = map(opened.judge.of, opened.rows.read(begun.place))
        return await importer.run(in_chunks(judged, most=sending.batch), begun, stop=stop)


def _seldom(say: Callable[[str], None]) -> Callable[[str], None]:
    """Say why something is tried again once, until there is another reason."""
    said = ""

    def told(why: str) -> None:
        nonlocal said
        if why != said:
            said = why
            say(f"trying again: {why}")

    return told


@contextmanager
def _signals(say: Callable[[str], None]) -> Iterator[Stopped]:
    loop, stopped = asyncio.get_running_loop(), Stopped(say)
    task = asyncio.current_task()
    asked = {signal.SIGINT: Status.INTERRUPTED, signal.SIGTERM: Status.TERMINATED}
    for number, status in asked.items():
        loop.add_signal_handler(number, stopped.take, status, task)
    try:
        yield stopped
    finally:
        for number in asked:
            loop.remove_signal_handler(number)
