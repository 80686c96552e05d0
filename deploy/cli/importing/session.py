"""One import from its options to its exit status: opens what is needed, and says how it ended."""

import asyncio
import json
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from deploy.cli.exits import Failed, Status
from deploy.cli.importing.fields import plan_fields, split_pairs
from deploy.cli.importing.instants import instant_reader
from deploy.cli.importing.judging import Judge
from deploy.cli.importing.open_file import digest_of, open_rows
from deploy.cli.importing.progress_file import ProgressFile, Work, fingerprint
from deploy.cli.importing.rejects import SUFFIX, RejectsFile
from deploy.cli.importing.rows import Rows
from deploy.cli.importing.run import Opened, Sending, counts, run_import
from deploy.cli.importing.trial import describe, try_rows
from shared.clock import Clock


@dataclass(frozen=True, slots=True)
class Reading:
    """All that decides what a row becomes."""

    maps: tuple[str, ...]
    constants: tuple[str, ...]
    zone: str
    timestamp_format: str
    file_format: str | None
    delimiter: str | None

    def words(self) -> str:
        """Return the same words for the same meaning, whatever the order of the options."""
        maps = sorted(split_pairs(self.maps, "--map").items())
        constants = sorted(split_pairs(self.constants, "--set").items())
        rest = [self.zone, self.timestamp_format, self.file_format, self.delimiter]
        return json.dumps([maps, constants, rest])

    def open(self, path: Path) -> Rows:
        """Open a file of history. Raises Failed."""
        return open_rows(path, file_format=self.file_format, delimiter=self.delimiter)

    def judge(self, rows: Rows, clock: Clock) -> Judge:
        """Return the judge of a file's rows. Raises Failed."""
        instants = instant_reader(self.timestamp_format, self.zone)
        plan = plan_fields(
            split_pairs(self.maps, "--map"),
            split_pairs(self.constants, "--set"),
            rows.columns,
            all_known=rows.all_known,
        )
        return Judge(plan, instants, clock.now())


def try_file(path: Path, reading: Reading, *, most: int | None, clock: Clock) -> Status:
    """Say what would become of a file's rows. Raises Failed."""
    with closing(reading.open(path)) as rows:
        judge = reading.judge(rows, clock)
        trial = try_rows(map(judge.of, rows.read(None)), most=most)
    print(describe(trial, path))
    return Status.PARTLY if trial.rejected else Status.DONE


def import_file(
    path: Path, reading: Reading, sending: Sending, *, clock: Clock, console: Console
) -> Status:
    """Import a file, from where an earlier import of it stopped. Raises Failed."""
    with ExitStack() as stack:
        before = _stamp(path)
        rows = stack.enter_context(closing(reading.open(path)))
        judge = reading.judge(rows, clock)  # says what is wrong before anything is kept
        rejects_path = sending.rejects or path.with_name(path.name + SUFFIX)
        work = Work(
            str(path.absolute()),
            digest_of(path),
            reading.words(),
            sending.server.url,
            fingerprint(sending.server.key),
            str(rejects_path.absolute()),
        )
        progress = stack.enter_context(closing(ProgressFile(sending.state, work)))
        progress.hold()
        if sending.restart:
            progress.forget()
        begun = progress.load()
        if begun.finished:
            print(f"{path}: imported already, {counts(begun)}; --restart sends it again")
            return Status.PARTLY if begun.rejected else Status.DONE
        rejects = stack.enter_context(
            closing(RejectsFile(rejects_path, path, kept=begun.rejects_bytes))
        )
        opened = Opened(path, rows, judge, progress, rejects)
        unchanged = lambda: _stamp(path) == before  # noqa: E731  asked once, at the end
        return asyncio.run(run_import(opened, sending, begun, console, unchanged=unchanged))


def _stamp(path: Path) -> tuple[int, int]:
    try:
        found = path.stat()
    except OSError as error:
        raise Failed(f"{path} can't be read: {error.strerror}") from None
    return found.st_size, found.st_mtime_ns
