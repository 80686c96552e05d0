"""Where a stored user differs from what the event log says of them, and who can't be compared."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from services.segmenter.domain.calendar import Calendar
from services.segmenter.domain.lifecycle import Step
from services.segmenter.domain.origin import Origin
from services.segmenter.domain.policy import Policies
from services.segmenter.domain.profile import Profile
from services.segmenter.domain.remembering import remembered
from services.segmenter.domain.replay import Keeper, Rebuilt, Replayed, rebuild

# An event lies at most a day after its receipt, by which the log is kept.
AHEAD = timedelta(days=1)

A_USER, UNREADABLE = "a user", "what can't be read"
MISSING, UNEXPECTED, DOUBLED = "missing", "unexpected", "doubled"


@dataclass(frozen=True, slots=True)
class Reach:
    """How far a partition is: time's own changes are all written up to `swept`, and none beyond `folded`."""

    swept: datetime | None
    folded: datetime | None


@dataclass(frozen=True, slots=True)
class Times:
    """What holds in a snapshot. `held_since`: what was received before may be gone from the log; None: nothing is."""

    policies: Policies
    reaches: Mapping[int, Reach]
    held_since: datetime | None


@dataclass(frozen=True, slots=True)
class Row:
    """A row of users. `version` is another one after each change.

    `merged_into`: its id is another user's; '': nobody's. `profile` None: it is no user, or can't be read.
    """

    user_id: str
    version: str
    profile: Profile | None
    check_at: datetime | None
    first_seen: datetime
    merged_into: str | None = None


@dataclass(frozen=True, slots=True)
class Found:
    """All that one snapshot holds of a user: the row, what the log says, and the transitions that stand.

    `home`: the id is that user's, by the claims; `other_ids` are those that are this one's.
    """

    user_id: str
    row: Row | None
    replayed: Replayed | None
    origin: Origin
    standing: Sequence[Step]
    home: str | None = None
    other_ids: Sequence[str] = ()

    @property
    def stored(self) -> Profile | None:
        return None if self.row is None else self.row.profile


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing that is stored otherwise than the log says."""

    user_id: str
    field: str
    stored: object
    rebuilt: object


@dataclass(frozen=True, slots=True)
class StepDifference:
    """A transition that is missing, should not stand, or stands twice."""

    user_id: str
    what: str
    step: Step


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a user should be, and how they differ. `rebuilt` None: they should not be at all.

    `partly`: the log lost the beginning of their history, and what it no longer tells is as the row says.
    `skipped`: neither tells all; they count as they are stored.
    """

    found: Found
    rebuilt: Rebuilt | None
    fields: tuple[Difference, ...] = ()
    steps: tuple[StepDifference, ...] = ()
    partly: bool = False
    skipped: bool = False

    @property
    def differs(self) -> bool:
        return bool(self.fields or self.steps)


def judge(found: Found, times: Times, calendar: Calendar) -> Verdict:
    """Compare a user with what the log says."""
    if found.home is not None:
        return Verdict(found, None, tuple(_of_another(found, found.home)), tuple(_steps(found, ())))
    known = policies_of(found.stored, times.policies)
    replayed, origin, since = found.replayed, found.origin, _known_since(found, times)
    if since is not None:
        stored = found.stored
        if (
            stored is None
            or (replayed := _remembered(found, stored, since, times, calendar)) is None
        ):
            return Verdict(found, None, skipped=True)
        if replayed.first_seen == stored.first_seen:
            origin = stored.origin
    if replayed is None:
        nobody = found.row is None or found.row.merged_into == ""
        fields = () if nobody else (_whole(found.user_id, _said(found.row), None),)
        return Verdict(found, None, fields, tuple(_steps(found, ())))
    keeper = Keeper(found.user_id, found.stored, _until(found, replayed, times))
    rebuilt = rebuild(replayed, origin, keeper=keeper, policies=known)
    steps = tuple(_steps(found, rebuilt.steps, since=since))
    return Verdict(found, rebuilt, tuple(_fields(found, rebuilt)), steps, since is not None)


def policies_of(stored: Profile | None, policies: Policies) -> Policies:
    """Return the policies that a user is judged by: who was not taken over to the newest yet, by those before."""
    versions = {reign.policy.version for reign in policies.reigns}
    if stored is None or stored.policy_version not in versions:
        return policies
    return policies.known_to(stored.policy_version)


def _known_since(found: Found, times: Times) -> datetime | None:
    """Return since when the log holds all of a user who was there before; None: it holds all in any case.

    Who was first seen later than the log begins has all in it. A row says twice when that was: if either may be, the
    other may have been damaged, and the log must not be taken for all.
    """
    row, stored, replayed = found.row, found.stored, found.replayed
    if times.held_since is None or row is None or row.merged_into is not None:
        return None
    since = times.held_since + AHEAD
    if min(row.first_seen, row.first_seen if stored is None else stored.first_seen) >= since:
        return None
    is_whole = (
        replayed is not None
        and stored is not None
        and replayed.first_seen == stored.first_seen
        and replayed.event_count == stored.event_count
    )
    return None if is_whole else since


def _remembered(
    found: Found, stored: Profile, since: datetime, times: Times, calendar: Calendar
) -> Replayed | None:
    grain = policies_of(stored, times.policies).grain
    return remembered(
        stored,
        found.replayed,
        since=since,
        grain=grain,
        calendar=calendar,
        partitions=times.reaches.keys(),
    )


def _until(found: Found, replayed: Replayed, times: Times) -> datetime | None:
    """Return up to when the user's history should be written.

    What is due and not written yet the next sweep will write. What is written cannot lie beyond what is folded.
    """
    stored = found.stored
    parts = replayed.parts | (set() if stored is None else {stored.part})
    reaches = [times.reaches.get(part, Reach(None, None)) for part in parts]
    if stored is None:
        swept = [each.swept for each in reaches]
        return None if None in swept else min(each for each in swept if each is not None)
    folded = max((each.folded for each in reaches if each.folded is not None), default=None)
    if folded is None:
        return None
    claimed = max([stored.lifecycle_since, *(step.at for step in found.standing)])
    return min(claimed, folded)


def _fields(found: Found, rebuilt: Rebuilt) -> Iterator[Difference]:
    user_id, profile = found.user_id, rebuilt.profile
    if found.row is None or found.stored is None:
        yield _whole(user_id, _said(found.row), A_USER)
        return
    stored, right = _columns(found.stored, found.row.first_seen), _columns(profile)
    for field, value in right.items():
        if stored[field] != value:
            yield Difference(user_id, field, stored[field], value)
    deadline, check_at = profile.deadline, found.row.check_at
    if deadline is not None and (check_at is None or check_at > deadline.at):
        yield Difference(user_id, "check_at", check_at, deadline.at)


def _columns(profile: Profile, first_seen: datetime | None = None) -> dict[str, object]:
    """Return what is stored of a user, by the names of the columns, but for what the log can't say.

    A row says twice when the user was first seen, and may contradict itself.
    """
    deadline, span = profile.deadline, profile.spans[-1]
    return {
        "first_seen": first_seen or profile.first_seen,
        "last_seen": span.end,
        "span_start": span.start,
        "earlier_spans": profile.spans[:-1],
        "lifecycle": profile.lifecycle,
        "lifecycle_since": profile.lifecycle_since,
        "deadline": None if deadline is None else deadline.at,
        "deadline_to": None if deadline is None else deadline.to,
        "event_count": profile.event_count,
        "known_at": profile.known_at,
        "policy_version": profile.policy_version,
        "part": profile.part,
        "days": profile.days,
        "channel": profile.origin.channel,
        "platform": profile.origin.platform,
    }


def _of_another(found: Found, home: str) -> Iterator[Difference]:
    """Yield how the row of an id differs that is another user's."""
    if found.row is None or found.row.merged_into != home:
        yield _whole(found.user_id, _said(found.row), f"an id of {home}")


def _said(row: Row | None) -> str | None:
    """Return in words what a row says there is."""
    if row is None or row.merged_into == "":
        return None
    if row.merged_into is not None:
        return f"an id of {row.merged_into}"
    return UNREADABLE if row.profile is None else A_USER


def _whole(user_id: str, stored: object, rebuilt: object) -> Difference:
    return Difference(user_id, "row", stored, rebuilt)


def _steps(
    found: Found, right: Sequence[Step], *, since: datetime | None = None
) -> Iterator[StepDifference]:
    """Yield how the transitions that stand differ; `since`: of earlier ones the log can say nothing."""
    standing = [step for step in found.standing if since is None or step.at >= since]
    stands = Counter(step.key for step in standing)
    wanted = {step.key for step in right}
    for step in right:
        if not stands[step.key] and (since is None or step.at >= since):
            yield StepDifference(found.user_id, MISSING, step)
    for key, step in {step.key: step for step in standing}.items():
        if key not in wanted:
            yield StepDifference(found.user_id, UNEXPECTED, step)
        elif stands[key] > 1:
            yield StepDifference(found.user_id, DOUBLED, step)
