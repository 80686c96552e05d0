"""A dry run: what the rows of a file would become, and nothing is sent or written."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

import msgspec

from deploy.cli.importing.judging import Event, Rejected

SHOWN_EVENTS = 3
SHOWN_REJECTS = 10


@dataclass(slots=True)
class Trial:
    """What was found: the first events and rejects, and how many there are of each."""

    good: int = 0
    rejected: int = 0
    events: list[bytes] = field(default_factory=list)
    rejects: list[Rejected] = field(default_factory=list)


def try_rows(judged: Iterable[Event | Rejected], *, most: int | None) -> Trial:
    """Judge the first rows, or all."""
    trial = Trial()
    for each in islice(judged, most):
        if isinstance(each, Event):
            trial.good += 1
            if len(trial.events) < SHOWN_EVENTS:
                trial.events.append(each.body)
        else:
            trial.rejected += 1
            if len(trial.rejects) < SHOWN_REJECTS:
                trial.rejects.append(each)
    return trial


def describe(trial: Trial, path: Path) -> str:
    lines = [f"{path}: the first of {trial.good:,} events"] if trial.events else []
    lines += [msgspec.json.format(body, indent=2).decode() for body in trial.events]
    lines += [f"{path}, line {each.line}: {each.reason}" for each in trial.rejects]
    if trial.rejected > len(trial.rejects):
        lines.append(f"… and {trial.rejected - len(trial.rejects):,} more")
    lines.append(
        f"{path}: {trial.good:,} rows would be imported, {trial.rejected:,} rejected; nothing was sent"
    )
    return "\n".join(lines)
