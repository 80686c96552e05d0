"""The rule: from spans of activity and the policies to the states of a user, each with its beginning.

At each instant a user is what the policy that holds then says of their activity. Where one policy
follows another and says something else, that is a step, too.
"""

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime

import msgspec
from msgspec import structs

from services.segmenter.domain.policy import Policies, Policy, Reign
from services.segmenter.domain.spans import Span, Spans, coarser
from shared.vocabulary import Lifecycle, TransitionReason

# Looked up once: a member of an enum costs more than the struct that it goes into.
_NEW, _ACTIVE, _RETURNED = Lifecycle.NEW, Lifecycle.ACTIVE, Lifecycle.RETURNED
_SILENT, _CHURNED = Lifecycle.SILENT, Lifecycle.CHURNED
_PASSED, _RESUMED = TransitionReason.TIME_PASSED, TransitionReason.ACTIVITY_RESUMED
_FIRST, _CAME_BACK = TransitionReason.FIRST_ACTIVITY, TransitionReason.RETURNED_AFTER_CHURN

LIVE = frozenset((_NEW, _ACTIVE, _RETURNED))

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


class _Periods(msgspec.Struct, frozen=True, gc=False):
    """Until when the user is new and, where they last came back after a churn at `returned`, until when returned.

    `ends` says when each period ends, with when it began, in order of the ends.
    """

    policy: Policy
    new_until: datetime
    returned: datetime | None
    returned_until: datetime | None
    ends: Sequence[tuple[datetime, datetime]]

    def state(self, instant: datetime) -> Lifecycle:
        """Return the state at an instant that lies in a span or shortly after it."""
        if self.returned_until is not None and instant < self.returned_until:
            return _RETURNED
        return _NEW if instant < self.new_until else _ACTIVE


def timeline(spans: Spans, policies: Policies) -> list[Step]:
    """Return every change of state that these spans cause, as if nothing more ever came.

    The spans are as fine as `policies.grain`.
    """
    steps: list[Step] = []
    if not spans:
        return steps
    for reign in policies.reigns:
        if reign.until is not None and reign.until <= spans[0].start:
            continue
        states: Iterable[Step] = _states(_seen_by(reign.policy, spans, policies), reign.policy)
        if policies.later:
            states = _within(reign, states, steps[-1].after if steps else None)
        steps += [step for step in states if step.after is not step.before]
    return steps


def state_at(spans: Spans, policies: Policies, instant: datetime) -> Lifecycle | None:
    """Return the state at an instant; None before the first activity."""
    policy = policies.at(instant)
    state: Lifecycle | None = None
    for step in _states(_seen_by(policy, spans, policies), policy):
        if step.at > instant:
            break
        state = step.after
    return state


def _seen_by(policy: Policy, spans: Spans, policies: Policies) -> Spans:
    if policy.silent_after == policies.grain:
        return spans
    return coarser(spans, policy.silent_after)


def _within(reign: Reign, states: Iterable[Step], before: Lifecycle | None) -> Iterator[Step]:
    """Yield a policy's states while it holds; first, at its activation, what it finds the user to be."""
    found: Step | None = None
    for step in states:
        if step.at <= reign.since:
            found = step
            continue
        if found is not None:
            yield _at_activation(found, reign.since, before)
            found = None
        if reign.until is not None and step.at >= reign.until:
            return
        yield step
    if found is not None:
        yield _at_activation(found, reign.since, before)


def _at_activation(found: Step, since: datetime, before: Lifecycle | None) -> Step:
    """Return the state that holds at an activation. It may begin there by itself, by chance."""
    if found.at == since and found.before is before:
        return found
    quiet_since = None if found.after in LIVE else found.quiet_since
    reason = TransitionReason.POLICY_CHANGED
    return structs.replace(found, at=since, before=before, reason=reason, quiet_since=quiet_since)


def _states(spans: Spans, policy: Policy) -> list[Step]:
    """Return the states in order, each beginning after the one before it.

    Where one follows upon itself it is no change, but may explain what another policy makes of it.
    """
    states: list[Step] = []
    if not spans:
        return states
    first, version = spans[0].start, policy.version
    periods = _periods(first, None, policy)
    previous: Span | None = None
    last = len(spans) - 1
    for index, span in enumerate(spans):
        if previous is not None and span.start - previous.end >= policy.churned_after:
            periods = _periods(first, span.start, policy)
        states += _live(span, previous, periods, states[-1].after if states else None)
        until = spans[index + 1].start if index < last else None
        silent_at, churned_at = span.end + policy.silent_after, span.end + policy.churned_after
        if until is None or silent_at < until:
            before = states[-1].after
            states.append(Step(silent_at, before, _SILENT, _PASSED, version, span.end))
        if until is None or churned_at < until:
            states.append(Step(churned_at, _SILENT, _CHURNED, _PASSED, version, span.end))
        previous = span
    return states


def _periods(first: datetime, returned: datetime | None, policy: Policy) -> _Periods:
    new_until = first + policy.new_for
    if returned is None:
        return _Periods(policy, new_until, None, None, ((new_until, first),))
    returned_until = returned + policy.returned_for
    ends = sorted(((new_until, first), (returned_until, returned)))
    return _Periods(policy, new_until, returned, returned_until, ends)


def _live(
    span: Span, previous: Span | None, periods: _Periods, before: Lifecycle | None
) -> list[Step]:
    """Return the states from a span's start to the silence after it."""
    began, policy = span.start, periods.policy
    state, version = periods.state(began), policy.version
    if previous is None:
        live = [Step(began, None, state, _FIRST, version)]
    else:
        # A gap of exactly `silent_after` is a silence of no length: nothing resumed, a period ran out.
        resumed = _PASSED if before in LIVE else _RESUMED
        reason = _CAME_BACK if periods.returned == began else resumed
        live = [Step(began, before, state, reason, version, previous.end)]
    silent_at = span.end + policy.silent_after
    for end, start in periods.ends:
        if began < end < silent_at:
            before, state = state, periods.state(end)
            live.append(Step(end, before, state, _PASSED, version, None, start))
    return live
