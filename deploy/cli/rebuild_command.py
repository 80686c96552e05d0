"""`ebbtide rebuild`: what the event log says of users and counts, against what is stored; and mending it."""

import json
import sys
from collections.abc import Iterable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Annotated, Any, TextIO

import typer
from rich.console import Console
from typer import Option

from deploy.cli.exits import Failed, explained
from deploy.cli.rebuilding import program
from deploy.cli.rebuilding.show import Summary, progress_for, stop_of, summary_of
from shared.configuration import check_zone
from shared.vocabulary import is_text

SHOWN = 20  # differences on the terminal


def rebuild(
    *,
    swap: Annotated[
        bool, Option("--swap", help="Mend what differs, while the system runs.")
    ] = False,
    users: Annotated[
        list[str] | None, Option("--user", metavar="ID", help="Only this user; again for more.")
    ] = None,
    report: Annotated[
        Path | None, Option(help="Write every difference there, one JSON object a line.")
    ] = None,
    as_json: Annotated[bool, Option("--json", help="Print the result as one JSON object.")] = False,
    rate: Annotated[float, Option(help="With --swap: users mended a second.")] = 500.0,
    zone: Annotated[
        str | None, Option(help="With --swap: count the days of this time zone from now on.")
    ] = None,
) -> None:
    """Replay the event log, and say what is stored otherwise; docs/cli.md says more."""
    with explained():
        for user in users or ():
            _check_id(user)
        if zone is not None and (users or not swap):
            raise Failed("--zone goes with --swap, and not with --user")
        if zone is not None:
            _check_zone(zone)
        if not rate > 0:
            raise Failed(f"--rate {rate}: it must be above 0")
        words = [f"--user={user}" for user in users or ()]
        words += ["--swap"] if swap else []
        words += [f"--zone={zone}"] if zone is not None else []
        with _opened(report) as out:
            summary, status = _run([*words, f"--rate={rate}"], Summary(swap=swap), out)
        if users and summary.found_nobody():
            raise Failed(
                f"--user {', '.join(users)}: neither the log nor what is stored knows the id"
            )
        if summary.end:
            _print(summary, report, as_json=as_json)
        raise typer.Exit(status)


def _check_id(user: str) -> None:
    if not is_text(user):
        raise Failed(f"--user {user!r}: an id is UTF-8, and this is not")


def _check_zone(zone: str) -> None:
    try:
        check_zone(zone)
    except ValueError as error:
        raise Failed(f"--zone: {error}") from None


def _run(words: list[str], summary: Summary, out: TextIO | None) -> tuple[Summary, int]:
    """Run the segmenter's program to its end, and not beyond ours."""
    with program.start(words) as running, program.stopped_by_signals(running) as came:
        assert running.stdout is not None  # noqa: S101  asked for where it is started
        try:
            _follow(running.stdout, summary, out)
        except BaseException:
            running.terminate()
            raise
        status = running.wait()
    if came and not summary.end:
        sys.stderr.write(f"ebbtide: {stop_of(summary)}\n")
        return summary, 128 + came[0]
    return summary, status if status >= 0 else 128 - status


def _follow(lines: Iterable[str], summary: Summary, out: TextIO | None) -> None:
    with progress_for(Console(stderr=True)) as progress:
        for line in lines:
            said: dict[str, Any] = json.loads(line)
            if said["type"] == "progress":
                progress.show(said["stage"], said["done"], said["total"], said["events"])
            else:
                _keep(said, line, summary, out)


def _keep(said: dict[str, Any], line: str, summary: Summary, out: TextIO | None) -> None:
    if said["type"] == "done":
        summary.end = said
        return
    if said["type"] == "stopped":
        summary.stopped = said
        return
    if out is not None:
        out.write(line)
    if len(summary.first) < SHOWN:
        summary.first.append(said)


def _opened(report: Path | None) -> AbstractContextManager[TextIO | None]:
    if report is None:
        return nullcontext()
    try:
        return report.open("w", encoding="utf-8")
    except OSError as error:
        raise Failed(f"--report {report}: {error.strerror}") from None


def _print(summary: Summary, report: Path | None, *, as_json: bool) -> None:
    if as_json:
        print(json.dumps(summary.end), flush=True)
        return
    console = Console(width=None if sys.stdout.isatty() else 160)
    for part in summary_of(summary):
        console.print(part, highlight=False, markup=False, soft_wrap=True)
    if report is not None:
        console.print(f"Each difference: {report}", highlight=False, markup=False, soft_wrap=True)
