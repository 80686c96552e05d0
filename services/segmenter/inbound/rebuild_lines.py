"""What a rebuild finds, as lines of JSON for whoever started it: how far it is, each difference, and the end."""

import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime
from typing import Any, TextIO

from services.segmenter.domain.active_days import ActiveDays
from services.segmenter.domain.funnel_marks import Mark, moment_of
from services.segmenter.domain.lifecycle import Step
from services.segmenter.domain.rebuilding import (
    UNREADABLE,
    Difference,
    StepDifference,
    Verdict,
)
from services.segmenter.domain.spans import Span
from services.segmenter.usecases.rebuild import Progress
from services.segmenter.usecases.rebuild_funnels import MarksDifference
from services.segmenter.usecases.rebuild_ports import CellDifference

EVERY_S = 0.2  # progress; differences are told at once


class Lines:
    """Writes one object a line, and counts the differences by kind, and the `users` and `marks` that were mended."""

    def __init__(self, out: TextIO, *, clock: Callable[[], float]) -> None:
        self._out = out
        self._clock = clock
        self._next = 0.0
        self.kinds: Counter[str] = Counter()
        self.mended: Counter[str] = Counter()

    def progress(self, stage: str, done: int, total: int, *, events: int = 0) -> None:
        """Tell how far it is, now and then."""
        now = self._clock()
        if now >= self._next:
            self._next = now + EVERY_S
            self._write(
                {"type": "progress", "stage": stage, "done": done, "total": total, "events": events}
            )

    def verdict(self, verdict: Verdict) -> None:
        for field in verdict.fields:
            self._difference("user", _field(field))
        for step in verdict.steps:
            self._difference("transition", _step(step))

    def marks(self, marks: Sequence[MarksDifference]) -> None:
        for each in marks:
            self._difference("funnel_users", _marks(each))

    def cells(self, cells: Sequence[CellDifference]) -> None:
        for each in cells:
            for name, stored in each.stored.items():
                if stored != each.rebuilt[name]:
                    place = {key: _plain(value) for key, value in each.cell.items()}
                    self._difference(
                        each.table,
                        {
                            "cell": place,
                            "field": name,
                            "stored": stored,
                            "rebuilt": each.rebuilt[name],
                        },
                    )

    def left(self, user_id: str, funnel_ids: Sequence[int] = ()) -> None:
        """Tell of a user who could not be mended; `funnel_ids`: of whom only the marks of these could not."""
        of_funnels = {"funnel_ids": list(funnel_ids)} if funnel_ids else {}
        self._write({"type": "left", "user_id": user_id, **of_funnels})

    def done(self, progress: Progress, **more: object) -> None:
        self._write(
            {
                "type": "done",
                "users": progress.users,
                "events": progress.events,
                "partly": progress.partly,
                "skipped": progress.skipped,
                "users_differing": progress.differing,
                "marks_differing": progress.marks_differing,
                "funnels_left_out": list(progress.funnels_left_out),
                "differences": dict(sorted(self.kinds.items())),
                **more,
            }
        )

    def stopped(self) -> None:
        """Tell that it ends here, before its end, and what it has mended by then."""
        self._write(
            {
                "type": "stopped",
                "users": self.mended["users"],
                "marks": self.mended["marks"],
            }
        )

    def _difference(self, kind: str, what: Mapping[str, object]) -> None:
        self.kinds[kind] += 1
        self._write({"type": "difference", "kind": kind, **what})

    def _write(self, line: Mapping[str, object]) -> None:
        self._out.write(json.dumps(line, ensure_ascii=False) + "\n")
        self._out.flush()


def _field(difference: Difference) -> dict[str, object]:
    both = difference.stored, difference.rebuilt
    if isinstance(both[0], ActiveDays) and isinstance(both[1], ActiveDays):
        # Only those that the other has not: a list of all would hide them.
        both = _dates(both[0], both[1]), _dates(both[1], both[0])
    return {
        "user_id": difference.user_id,
        "field": difference.field,
        "stored": _plain(both[0]),
        "rebuilt": _plain(both[1]),
    }


def _step(difference: StepDifference) -> dict[str, object]:
    step: Step = difference.step
    return {
        "user_id": difference.user_id,
        "what": difference.what,
        "at": _plain(step.at),
        "before": step.before,
        "after": step.after,
        "reason": step.reason,
        "policy_version": step.policy_version,
    }


def _marks(difference: MarksDifference) -> dict[str, object]:
    """Return marks as their instants and steps, from 1; where they are the same, how far they got on each day."""
    funnel_id, user_id = difference.key
    place = {"funnel_id": funnel_id, "user_id": user_id}
    if difference.stored or difference.rebuilt or difference.unreadable:
        stored, rebuilt = (
            [_mark(each) for each in side] for side in (difference.stored, difference.rebuilt)
        )
        of_stored = UNREADABLE if difference.unreadable else stored
        return {**place, "field": "marks", "stored": of_stored, "rebuilt": rebuilt}
    depths = difference.stored_depths, difference.rebuilt_depths
    stored, rebuilt = (
        [f"{date.fromordinal(day)} step {depth}" for day, depth in side.items()] for side in depths
    )
    return {**place, "field": "depths", "stored": stored, "rebuilt": rebuilt}


def _mark(mark: Mark) -> str:
    steps = "+".join(
        str(bit + 1) for bit in range(mark.steps.bit_length()) if mark.steps >> bit & 1
    )
    return f"{moment_of(mark.at).isoformat()} step {steps}"


def _dates(days: ActiveDays, without: ActiveDays) -> list[str]:
    return [date.fromordinal(day).isoformat() for day in days if day not in without]


def _plain(value: object) -> Any:
    """Return a value as JSON has it."""
    if isinstance(value, (datetime, date)):
        return value.isoformat()
    if isinstance(value, Span):
        return [_plain(value.start), _plain(value.end)]
    if isinstance(value, (tuple, list)):
        return [_plain(each) for each in value]
    return value
