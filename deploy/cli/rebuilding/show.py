"""Shows how a rebuild goes, and what it came to."""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol

from rich.console import Console
from rich.progress import BarColumn, TaskProgressColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bars
from rich.table import Table

LINE_EVERY_S = 10.0
# Of each value of a difference: one user's marks alone may be tens of thousands of characters.
LONGEST_VALUE = 200
COUNTERS = ("active_users", "retention", "lifecycle_flows", "funnel_counts")


class Progress(Protocol):
    """Told of what is done, as often as it changes."""

    def show(self, stage: str, done: int, total: int, events: int) -> None: ...


@contextmanager
def progress_for(console: Console) -> Iterator[Progress]:
    """Show a bar on a terminal, and a plain line now and then elsewhere."""
    if not console.is_terminal:
        yield _Lines(console)
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TextColumn("{task.fields[words]}"),
        TimeRemainingColumn(),
    )
    with Bars(*columns, console=console) as bars:
        yield _Bars(bars)


@dataclass(slots=True)
class Summary:
    """What a rebuild said: its last line, and the first of what differs. `swap`: what differed was mended.

    `stopped` is the last line of one that did not come to its end.
    """

    swap: bool
    end: dict[str, Any] = field(default_factory=dict)
    stopped: dict[str, Any] = field(default_factory=dict)
    first: list[dict[str, Any]] = field(default_factory=list)

    def found_nobody(self) -> bool:
        """Tell whether it ended without a user to look at."""
        return bool(self.end) and not (self.end["users"] or self.end["skipped"] or self.first)


def summary_of(summary: Summary) -> Iterator[Table | str]:
    """Return what to print."""
    end = summary.end
    yield f"{end['users']:,} users and {end['events']:,} events were replayed."
    if end["partly"] or end["skipped"]:
        yield (
            f"Of {end['partly']:,} users the log lost the beginning, and the rest was compared;"
            f" {end['skipped']:,} users can't be compared."
        )
    if end["funnels_left_out"]:
        left_out = ", ".join(map(str, end["funnels_left_out"]))
        yield f"Left out, for they are still counted from the log: funnels {left_out}."
    if not end["differences"]:
        yield "What is stored is what the event log says."
        return
    yield _by_kind(end["differences"])
    for each in summary.first:
        yield sentence(each)
    more = sum(end["differences"].values()) - len(summary.first)
    if more > 0:
        yield f"… and {more:,} more; --report FILE writes all of them."
    if summary.swap:
        left, marks_left = end["left"], end["marks_left"]
        marks = end["marks_differing"] - marks_left
        counts = sum(end["differences"].get(table, 0) for table in COUNTERS)
        and_marks = f", {marks:,} users' marks" if end["marks_differing"] else ""
        and_counts = f" and {counts:,} counts" if counts else ""
        mended = f"{end['users_differing'] - left:,} users{and_marks}{and_counts} were mended"
        are_left = left + marks_left
        yield f"{mended}, {are_left:,} are left." if are_left else f"{mended}."


def stop_of(summary: Summary) -> str:
    """Return the words on a rebuild that was stopped."""
    if not summary.swap:
        return "stopped before everything was compared; start it again to know what differs"
    if not summary.stopped:  # killed, or not yet begun
        return "stopped at once: what was mended stays so; start it again for the rest"
    users, marks = summary.stopped["users"], summary.stopped["marks"]
    and_marks = f" and {marks:,} users' marks" if marks else ""
    return f"stopped: {users:,} users{and_marks} were mended; start it again for the rest"


def sentence(said: Mapping[str, Any]) -> str:
    """Return one difference in words."""
    if said["type"] == "left" and "funnel_ids" in said:
        funnels = ", ".join(map(str, said["funnel_ids"]))
        return f"user {said['user_id']}: the marks of funnel {funnels} are left, for their steps are too many"
    if said["type"] == "left":
        return f"user {said['user_id']}: left, for they changed all the time; rebuild once more"
    if said["kind"] == "transition":
        before = said["before"] or "nothing"
        return (
            f"user {said['user_id']}: the transition from {before} to {said['after']} at {said['at']}"
            f" {_STANDS[said['what']]}"
        )
    if said["kind"] == "funnel_users":
        place = f"user {said['user_id']} in funnel {said['funnel_id']}, {said['field']}"
    elif said["kind"] == "user":
        place = f"user {said['user_id']}, {said['field']}"
    else:
        cell = " ".join(str(each) for each in said["cell"].values() if each != "")
        place = f"{said['kind']} of {cell}, {said['field']}"
    return f"{place}: {_text(said['stored'])} is stored, {_text(said['rebuilt'])} by the log"


_STANDS = {"missing": "is missing", "unexpected": "should not stand", "doubled": "stands twice"}


def _by_kind(differences: Mapping[str, int]) -> Table:
    table = Table()
    table.add_column("what differs")
    table.add_column("differences", justify="right")
    for kind, number in differences.items():
        table.add_row(kind, f"{number:,}")
    return table


def _text(value: object) -> str:
    if value is None or value == []:
        return "nothing"
    text = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
    if len(text) <= LONGEST_VALUE:
        return text
    long = f"{len(value):,} values" if isinstance(value, list) else f"{len(text):,} characters"
    return f"{text[:LONGEST_VALUE]}… ({long})"


class _Bars:
    def __init__(self, bars: Bars) -> None:
        self._bars = bars
        self._tasks: dict[str, Any] = {}

    def show(self, stage: str, done: int, total: int, events: int) -> None:
        if stage not in self._tasks:
            self._tasks[stage] = self._bars.add_task(stage, words="")
        self._bars.update(
            self._tasks[stage], completed=done, total=total, words=_words(done, total, events)
        )


class _Lines:
    def __init__(self, console: Console) -> None:
        self._console = console
        self._next_s = time.monotonic() + LINE_EVERY_S

    def show(self, stage: str, done: int, total: int, events: int) -> None:
        if time.monotonic() >= self._next_s:
            self._next_s = time.monotonic() + LINE_EVERY_S
            self._console.print(f"{stage}: {_words(done, total, events)}", highlight=False)


def _words(done: int, total: int, events: int) -> str:
    of_log = f", {events:,} events" if events else ""
    return f"{done:,} of {total:,} users{of_log}"
