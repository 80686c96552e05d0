"""The rule: from spans of activity and the policies to the states of a user, each with its beginning.

At each instant a user is what the policy that holds then says of their activity. Where one policy
follows another and says something else, that is a step, too.
"""

from collections.abc import Iterable, Iterator
from datetime import datetime

import msgspec
from msgspec import structs

from services.segmenter.domain.policy import Policies, Policy, Reign
from services.segmenter.domain.spans import Span, Spans, coarser
from shared.vocabulary import Lifecycle, TransitionReason

LIVE = frozenset((Lifecycle.NEW, Lifecycle.ACTIVE, Lifecycle.RETURNED))

StepKey = tuple[datetime, Lifecycle | None, Lifecycle, TransitionReason, int]


class Step(msgspec.Struct, frozen=True, gc=False):
    """One change of state.

    `policy_version` is that of the policy that holds at `at`. `quiet_since` is the last activity before
    the silence that the step tells of; `period_start` is where the period began that ran out (being new,
    having returned).
    """

    at: datetime
    before: Lifecycle | None
    after: Lifecycle
    reason: TransitionReason
    policy_version: int
    quiet_since: datetime | None = None
    period_start: datetime | None = None

    @property
    def key(self) -> StepKey:
        """What makes two steps of one user the same; the other fields only explain it."""
        return self.at, self.before, self.after, self.reason, self.policy_version


class _Stretch(msgspec.Struct, frozen=True, gc=False):
    """A state from `at` until the next stretch begins, and why it would begin then."""

    at: datetime
    state: Lifecycle
    reason: TransitionReason
    quiet_since: datetime | None = None
    period_start: datetime | None = None


class _Periods(msgspec.Struct, frozen=True, gc=False):
    """When the user was first seen, and when they last came back after a churn."""

    first: datetime
    returned: datetime | None
    policy: Policy

    def state(self, instant: datetime) -> Lifecycle:
        """Return the state at an instant that lies in a span or shortly after it."""
        if self.returned is not None and instant < self.returned + self.policy.returned_for:
            return Lifecycle.RETURNED
        if instant < self.first + self.policy.new_for:
            return Lifecycle.NEW
        return Lifecycle.ACTIVE

    def ends(self) -> list[tuple[datetime, datetime]]:
        """Return when each period ends, with when it began, in order of the ends."""
        ends = [(self.first + self.policy.new_for, self.first)]
        if self.returned is not None:
            ends.append((self.returned + self.policy.returned_for, self.returned))
        return sorted(ends)


def timeline(spans: Spans, policies: Policies) -> list[Step]:
    """Return every change of state that these spans cause, as if nothing more ever came.

    The spans are as fine as `policies.grain`.
    """
    steps: list[Step] = []
    if not spans:
        return steps
    before: Lifecycle | None = None
    for reign in policies.reigns:
        if reign.until is not None and reign.until <= spans[0].start:
            continue
        stretches: Iterable[_Stretch] = _stretches(
            _seen_by(reign.policy, spans, policies), reign.policy
        )
        if policies.later:
            stretches = _within(reign, stretches, before)
        for stretch in stretches:
            if stretch.state is not before:
                steps.append(_step(stretch, before, reign.policy.version))
                before = stretch.state
    return steps


def state_at(spans: Spans, policies: Policies, instant: datetime) -> Lifecycle | None:
    """Return the state at an instant; None before the first activity."""
    policy = policies.at(instant)
    state: Lifecycle | None = None
    for stretch in _stretches(_seen_by(policy, spans, policies), policy):
        if stretch.at > instant:
            break
        state = stretch.state
    return state


def _seen_by(policy: Policy, spans: Spans, policies: Policies) -> Spans:
    if policy.silent_after == policies.grain:
        return spans
    return coarser(spans, policy.silent_after)


def _within(
    reign: Reign, stretches: Iterable[_Stretch], before: Lifecycle | None
) -> Iterator[_Stretch]:
    """Yield a policy's stretches while it holds; first, at its activation, what it finds the user to be."""
    found: _Stretch | None = None
    was: Lifecycle | None = None  # what it would have said right before
    for stretch in stretches:
        if stretch.at <= reign.since:
            was = stretch.state if stretch.at < reign.since else was
            found = stretch
            continue
        if found is not None:
            yield _at_activation(found, reign.since, changed=was is not before)
            found = None
        if reign.until is not None and stretch.at >= reign.until:
            return
        yield stretch
    if found is not None:
        yield _at_activation(found, reign.since, changed=was is not before)


def _at_activation(found: _Stretch, since: datetime, *, changed: bool) -> _Stretch:
    """Return the stretch that holds at an activation. It may begin there by itself, by chance."""
    if found.at == since and not changed:
        return found
    quiet_since = None if found.state in LIVE else found.quiet_since
    return structs.replace(
        found, at=since, reason=TransitionReason.POLICY_CHANGED, quiet_since=quiet_since
    )


def _stretches(spans: Spans, policy: Policy) -> Iterator[_Stretch]:
    """Yield the states in order, each beginning after the one before it."""
    returned: datetime | None = None
    previous: Span | None = None
    for index, span in enumerate(spans):
        if previous is not None and span.start - previous.end >= policy.churned_after:
            returned = span.start
        until = spans[index + 1].start if index + 1 < len(spans) else None
        yield from _live(span, previous, _Periods(spans[0].start, returned, policy))
        yield from _quiet(span, policy, until=until)
        previous = span


def _live(span: Span, previous: Span | None, periods: _Periods) -> Iterator[_Stretch]:
    """Yield the states from a span's start to the silence after it."""
    quiet_since = None if previous is None else previous.end
    reason = TransitionReason.ACTIVITY_RESUMED
    if previous is None:
        reason = TransitionReason.FIRST_ACTIVITY
    elif periods.returned == span.start:
        reason = TransitionReason.RETURNED_AFTER_CHURN
    yield _Stretch(span.start, periods.state(span.start), reason, quiet_since)
    silent_at = span.end + periods.policy.silent_after
    for end, start in periods.ends():
        if span.start < end < silent_at:
            yield _Stretch(
                end, periods.state(end), TransitionReason.TIME_PASSED, period_start=start
            )


def _quiet(span: Span, policy: Policy, *, until: datetime | None) -> Iterator[_Stretch]:
    """Yield the states between a span's silence and the next span's start."""
    for after, state in (
        (policy.silent_after, Lifecycle.SILENT),
        (policy.churned_after, Lifecycle.CHURNED),
    ):
        if until is None or span.end + after < until:
            yield _Stretch(span.end + after, state, TransitionReason.TIME_PASSED, span.end)


def _step(stretch: _Stretch, before: Lifecycle | None, policy_version: int) -> Step:
    # A gap of exactly `silent_after` is a silence of no length: nothing resumed, a period ran out.
    passed = before in LIVE and stretch.reason is TransitionReason.ACTIVITY_RESUMED
    return Step(
        stretch.at,
        before,
        stretch.state,
        TransitionReason.TIME_PASSED if passed else stretch.reason,
        policy_version,
        stretch.quiet_since,
        stretch.period_start,
    )
