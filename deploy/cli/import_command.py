"""`ebbtide import`: years of history from files, through ingest's public address."""

import math
import os
from collections.abc import Sequence
from pathlib import Path

import typer
from rich.console import Console

from deploy.cli import import_options as options
from deploy.cli.exits import Failed, Status, explained
from deploy.cli.importing.importer import Limits
from deploy.cli.importing.instants import ISO
from deploy.cli.importing.open_file import KNOWN
from deploy.cli.importing.run import Sending
from deploy.cli.importing.session import Reading, import_file, try_file
from deploy.cli.places import ingest_place
from deploy.local.state import State, state_directory
from shared.clock import Clock, clock_from


def import_files(  # noqa: PLR0913  one per option
    files: options.Files,
    *,
    maps: options.Maps = None,
    constants: options.Constants = None,
    zone: options.Zone = "UTC",
    timestamp_format: options.TimestampFormat = ISO,
    file_format: options.FileFormat = None,
    delimiter: options.Delimiter = None,
    url: options.Url = None,
    write_key: options.WriteKey = None,
    dry_run: options.DryRun = False,
    rows: options.DryRows = None,
    batch: options.Batch = 500,
    in_flight: options.InFlight = 4,
    rate: options.Rate = None,
    patience: options.Patience = 300.0,
    rejects: options.Rejects = None,
    max_rejects: options.MaxRejects = None,
    state_dir: options.StateDir = None,
    restart: options.Restart = False,
) -> None:
    """Import history from CSV, NDJSON (also .gz) or Parquet; docs/cli.md says more."""
    with explained():
        reading = Reading(
            tuple(maps or ()),
            tuple(constants or ()),
            zone,
            timestamp_format,
            file_format,
            delimiter,
        )
        _check(files, reading, rejects=rejects, rate=rate, rows=None if dry_run else rows)
        clock = clock_from(_clock_file())
        if dry_run:
            raise typer.Exit(max(try_file(path, reading, most=rows, clock=clock) for path in files))
        sending = Sending(
            server=ingest_place(url, write_key),
            batch=batch if rate is None else max(1, min(batch, math.ceil(rate))),
            limits=Limits(in_flight, max_rejects),
            per_s=rate,
            patience_s=patience,
            state=state_dir or State(state_directory()).imports,
            rejects=rejects,
            restart=restart,
        )
        raise typer.Exit(_import_all(files, reading, sending, clock))


def _import_all(files: Sequence[Path], reading: Reading, sending: Sending, clock: Clock) -> Status:
    console = Console(stderr=True)
    worst = Status.DONE
    for path in files:
        try:
            status = import_file(path, reading, sending, clock=clock, console=console)
        except OSError as error:  # a disk that is full, a file that is gone
            raise Failed(f"{path}: {error}") from error
        worst = max(worst, status)
        if status in {Status.INTERRUPTED, Status.TERMINATED}:
            break
    return worst


def _check(
    files: Sequence[Path],
    reading: Reading,
    *,
    rejects: Path | None,
    rate: float | None,
    rows: int | None,
) -> None:
    """Refuse options that do not go together. Raises Failed."""
    if rejects is not None and len(files) > 1:
        raise Failed("--rejects goes with one file; those of several lie beside each of them")
    if rate is not None and not 0 < rate < math.inf:
        raise Failed(f"--rate {rate}: it must be above 0")
    if rows is not None:
        raise Failed("--rows goes with --dry-run only")
    if reading.file_format not in (None, *KNOWN):
        raise Failed(f"--format {reading.file_format}: must be one of: {', '.join(KNOWN)}")
    if reading.delimiter is not None and len(reading.delimiter) != 1:
        raise Failed(f"--delimiter {reading.delimiter}: must be one character")
    for path in files:
        if not path.is_file():
            raise Failed(f"{path}: {'is no file' if path.exists() else 'there is no such file'}")


def _clock_file() -> Path | None:
    """Return the file by which product time is driven where ingest's is: the future begins with it."""
    given = os.environ.get("EBBTIDE_CLOCK_FILE")
    return Path(given) if given else None
