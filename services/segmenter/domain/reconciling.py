"""What a user should be by the event log alone, and where what is stored says something else."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime

from services.segmenter.domain.active_days import ActiveDays
from services.segmenter.domain.calendar import Calendar
from services.segmenter.domain.deadlines import Deadline, next_deadline, standing
from services.segmenter.domain.lifecycle import StepKey, timeline
from services.segmenter.domain.origin import Origin
from services.segmenter.domain.policy import Policies
from services.segmenter.domain.spans import Span, Spans, add_instants
from shared.vocabulary import Lifecycle

LONGEST_TEXT = 500


@dataclass(frozen=True, slots=True)
class Activity:
    """All that a user did, by the log; `origin` is what the first of it names."""

    instants: Collection[datetime]
    origin: Origin


@dataclass(frozen=True, slots=True)
class UserRecord:
    """A user, as stored or as recounted. `steps`: the transitions that stand."""

    user_id: str
    policy_version: int
    spans: Spans
    days: ActiveDays | None
    origin: Origin
    event_count: int
    lifecycle: Lifecycle
    lifecycle_since: datetime
    deadline: Deadline | None
    steps: Collection[StepKey]

    @property
    def settled(self) -> datetime:
        """The instant up to which this user's history is written."""
        return max(self.spans[-1].end, self.lifecycle_since)


@dataclass(frozen=True, slots=True)
class Difference:
    """What is stored, and what a recount found in its place; None: nothing."""

    kind: str
    subject: str
    field: str
    stored: str | None
    recounted: str | None


def recount(
    stored: UserRecord, activity: Activity, policies: Policies, calendar: Calendar
) -> UserRecord:
    """Return the user as the activity alone makes them, of which there is some.

    By the policies that the stored one was computed with, and up to the instant to which their history is
    written: how far time has passed for them is not in the log.
    """
    known = policies.known_to(stored.policy_version)
    spans = add_instants((), activity.instants, silent_after=known.grain)
    steps = timeline(spans, known)
    settled = max(spans[-1].end, stored.settled)
    stand = standing(steps, settled)
    return replace(
        stored,
        spans=spans,
        days=ActiveDays.of(map(calendar.day_of, activity.instants)),
        origin=activity.origin,
        event_count=len(activity.instants),
        lifecycle=stand[-1].after,
        lifecycle_since=stand[-1].at,
        deadline=next_deadline(steps, settled),
        steps=[step.key for step in stand],
    )


def differences(stored: UserRecord, recounted: UserRecord | None) -> list[Difference]:
    """Return every field in which the two differ. None: the log has nothing that this user did."""
    found: list[tuple[str, str | None, str | None]]
    if recounted is None:
        found = [("event_count", str(stored.event_count), "0")]
    else:
        ours, theirs = _texts(stored), _texts(recounted)
        found = [
            (field, ours[field], theirs[field]) for field in ours if ours[field] != theirs[field]
        ]
        for field, only_stored, only_recounted in (
            ("days", *_apart(_dates(stored), _dates(recounted))),
            ("transitions", *_apart(_steps(stored), _steps(recounted))),
        ):
            if only_stored or only_recounted:
                found.append((field, only_stored, only_recounted))
    return [Difference("user", stored.user_id, field, *both) for field, *both in found]


Counts = Mapping[tuple[str, ...], int]  # of cells, each by what it is the count of


def count_differences(
    kind: str, field: str, stored: Counts, recounted: Counts
) -> tuple[int, list[Difference]]:
    """Return how many cells there are, and those in which the two differ. What is missing is 0."""
    cells = sorted(stored.keys() | recounted.keys())
    return len(cells), [
        Difference(kind, " ".join(cell), field, str(ours), str(theirs))
        for cell in cells
        if (ours := stored.get(cell, 0)) != (theirs := recounted.get(cell, 0))
    ]


def _texts(record: UserRecord) -> dict[str, str]:
    deadline = record.deadline
    return {
        "spans": _short(", ".join(map(_span, record.spans))),
        "channel": record.origin.channel,
        "platform": record.origin.platform,
        "event_count": str(record.event_count),
        "lifecycle": record.lifecycle.value,
        "lifecycle_since": record.lifecycle_since.isoformat(),
        "deadline": "none" if deadline is None else f"{deadline.at.isoformat()} {deadline.to}",
    }


def _span(span: Span) -> str:
    return f"{span.start.isoformat()}/{span.end.isoformat()}"


def _dates(record: UserRecord) -> list[str]:
    return [date.fromordinal(day).isoformat() for day in record.days or ()]


def _steps(record: UserRecord) -> list[str]:
    return [
        f"{at.isoformat()} {before or 'nothing'} > {after} ({reason}, policy {version})"
        for at, before, after, reason, version in record.steps
    ]


def _apart(stored: Sequence[str], recounted: Sequence[str]) -> tuple[str | None, str | None]:
    """Return what only the one has, and what only the other; a repetition is one too many."""
    missing = [each for each in recounted if each not in set(stored)]
    surplus = [each for each in stored if each not in set(recounted)]
    repeated = [each for index, each in enumerate(stored) if each in stored[:index]]
    return _listed([*surplus, *repeated]), _listed(missing)


def _listed(texts: Sequence[str]) -> str | None:
    return _short(", ".join(texts)) if texts else None


def _short(text: str) -> str:
    return text if len(text) <= LONGEST_TEXT else f"{text[: LONGEST_TEXT - 1]}…"
