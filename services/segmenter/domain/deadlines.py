"""Deadlines: when time alone will next change a user, and what is due already."""

from collections.abc import Sequence
from datetime import datetime

import msgspec

from services.segmenter.domain.lifecycle import Step
from shared.vocabulary import Lifecycle


class Deadline(msgspec.Struct, frozen=True, gc=False):
    """The instant at which time alone changes a user, and into what."""

    at: datetime
    to: Lifecycle


def standing(steps: Sequence[Step], until: datetime) -> list[Step]:
    """Return the steps that are true by `until`."""
    return [step for step in steps if step.at <= until]


def next_deadline(steps: Sequence[Step], after: datetime) -> Deadline | None:
    """Return the first change after an instant; None where time alone changes nothing any more."""
    for step in steps:
        if step.at > after:
            return Deadline(step.at, step.after)
    return None
