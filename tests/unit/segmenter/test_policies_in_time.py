"""Policies come and go while users do things in any order: each instant has the law of its own time."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.segmenter.domain.deadlines import Deadline
from services.segmenter.domain.lifecycle import Step, state_at, timeline
from services.segmenter.domain.policy import ContradictoryPolicy, Policies, Policy
from services.segmenter.domain.profile import (
    Change,
    Profile,
    adopt,
    advance,
    begin,
    hides_silences,
    pass_time,
)
from services.segmenter.domain.spans import Logged, Span, add_instants, finer
from shared.vocabulary import Lifecycle, TransitionReason
from tests.unit.segmenter import oracle
from tests.unit.segmenter.days import arrivals_of
from tests.unit.segmenter.oracle import Laws, Thresholds
from tests.unit.segmenter.test_history_equals_the_definition import START, at, instants, thresholds

DAY = timedelta(days=1)
FIRST = Policy(1, 7 * DAY, 7 * DAY, 30 * DAY, 7 * DAY)
FAR = at(12 * 600)


@st.composite
def laws(draw: st.DrawFn) -> Laws:
    when = draw(st.sampled_from((instants, st.integers(0, 40).map(lambda number: at(12 * number)))))
    activations = sorted(draw(st.sets(when, min_size=1, max_size=3)))
    return [(START, draw(thresholds())), *((since, draw(thresholds())) for since in activations)]


def policy_of(version: int, rules: Thresholds) -> Policy:
    return Policy(
        version, rules.new_for, rules.silent_after, rules.churned_after, rules.returned_for
    )


def policies_of(known: Laws) -> Policies:
    policies = Policies(policy_of(1, known[0][1]))
    for version, (since, rules) in enumerate(known[1:], start=2):
        policies = policies.followed_by(policy_of(version, rules), since)
    return policies


def day(number: float) -> datetime:
    return START + number * DAY


@dataclass
class World:
    """One user, their event log, and the transitions that stand."""

    policies: Policies
    profile: Profile | None = None
    log: list[datetime] = field(default_factory=list)
    standing: dict[object, Step] = field(default_factory=dict)

    def arrive(self, batch: Sequence[datetime]) -> None:
        arrivals = arrivals_of(batch, START)
        if self.profile is None:
            self.keep(begin("u", arrivals, self.policies))
        else:
            adopted = self.adopted(self.profile)
            self.keep(adopted.then(advance(adopted.profile, arrivals, self.policies)))
        self.log.extend(batch)

    def sweep(self, watermark: datetime) -> None:
        if self.profile is not None:
            self.keep(pass_time(self.adopted(self.profile), watermark, self.policies))

    def adopted(self, profile: Profile) -> Change:
        logged = None
        if hides_silences(profile, self.policies):
            grain = self.policies.grain
            logged = Logged(add_instants((), self.log, silent_after=grain))
        return adopt(profile, self.policies, logged)

    def keep(self, change: Change) -> None:
        for step in (*change.repealed, *change.retracted):
            del self.standing[step.key]  # only what stands can be retracted
        for step in change.written:
            assert step.key not in self.standing
            self.standing[step.key] = step
        self.profile = change.profile

    def changes(self) -> list[oracle.Change]:
        ordered = sorted(self.standing.values(), key=lambda step: step.at)
        return [(step.at, step.before, step.after) for step in ordered]


@given(st.lists(instants, min_size=1, max_size=14), laws())
@settings(max_examples=500, deadline=None)
def test_the_timeline_has_the_law_of_each_instant(activity: list[datetime], known: Laws) -> None:
    policies = policies_of(known)

    steps = timeline(add_instants((), activity, silent_after=policies.grain), policies)

    assert [(s.at, s.before, s.after) for s in steps] == oracle.history_under(activity, known, FAR)
    assert all(step.policy_version == policies.at(step.at).version for step in steps)


@given(st.lists(instants, min_size=1, max_size=14), instants, laws())
@settings(max_examples=300, deadline=None)
def test_the_state_at_an_instant_follows_the_law_of_that_instant(
    activity: list[datetime], now: datetime, known: Laws
) -> None:
    policies = policies_of(known)

    spans = add_instants((), activity, silent_after=policies.grain)

    assert state_at(spans, policies, now) == oracle.state(activity, oracle.law_at(known, now), now)


# Close together, and not only at multiples of the thresholds.
close = st.builds(
    lambda half_days, hours: at(12 * half_days + hours),
    st.integers(0, 40),
    st.sampled_from((0, 1, 2)),
)


@st.composite
def scripts(draw: st.DrawFn) -> list[list[datetime] | datetime | None]:
    """Arrivals, sweeps, and moments (None) at which the next policy becomes known, maybe long after."""
    when = draw(st.sampled_from((instants, close)))
    arrivals = st.lists(when, min_size=1, max_size=4)
    return draw(st.lists(st.one_of(arrivals, when, st.none()), min_size=1, max_size=14))


@given(scripts(), laws())
@settings(max_examples=2000, deadline=None)
def test_whenever_policies_become_known_the_history_ends_as_if_all_had_been_known(
    script: list[list[datetime] | datetime | None], known: Laws
) -> None:
    world, activity, heard = World(policies_of(known[:1])), list[datetime](), 1
    for act in script:
        if act is None:
            heard = min(heard + 1, len(known))
            world.policies = policies_of(known[:heard])
        elif isinstance(act, list):
            world.arrive(act)
            activity.extend(act)
        else:
            world.sweep(act)
        if world.profile is not None and world.profile.policy_version == heard:
            so_far = oracle.history_under(activity, known[:heard], world.profile.settled)
            assert world.changes() == so_far

    world.policies = policies_of(known)
    world.sweep(FAR)

    check_that_a_rebuild_gives_the_same(world, activity)


@given(st.lists(close, min_size=2, max_size=10), close, laws(), st.data())
@settings(max_examples=1500, deadline=None)
def test_what_comes_late_changes_what_it_would_have_changed_in_time(
    activity: list[datetime], until: datetime, known: Laws, data: st.DataObject
) -> None:
    """Every policy is known, most have come and gone, and time has passed, before the rest arrives."""
    late = data.draw(st.integers(1, len(activity) - 1))
    world = World(policies_of(known))
    world.arrive(activity[late:])
    world.sweep(max(until, known[-1][0]))

    for instant in activity[:late]:
        world.arrive([instant])
        assert world.profile is not None
        settled = world.profile.settled
        assert world.changes() == oracle.history_under(world.log, known, settled)

    world.sweep(FAR)
    check_that_a_rebuild_gives_the_same(world, activity)


def check_that_a_rebuild_gives_the_same(world: World, activity: list[datetime]) -> None:
    if world.profile is None:
        assert not activity
        return
    arrivals = arrivals_of(activity, START)
    rebuilt = pass_time(begin("u", arrivals, world.policies), FAR, world.policies)
    assert {step.key for step in rebuilt.written} == world.standing.keys()
    for name in ("spans", "lifecycle", "lifecycle_since", "deadline", "policy_version"):
        assert getattr(world.profile, name) == getattr(rebuilt.profile, name)


@given(st.lists(instants, min_size=1, max_size=10), thresholds(), instants, instants)
@settings(max_examples=300, deadline=None)
def test_an_activation_of_the_same_thresholds_writes_nothing(
    activity: list[datetime], rules: Thresholds, now: datetime, since: datetime
) -> None:
    before = Policies(policy_of(1, rules))
    after = before.followed_by(policy_of(2, rules), max(since, now, *activity) + DAY)
    user = pass_time(begin("u", arrivals_of(activity, START), before), now, before).profile

    change = adopt(user, after)

    assert (change.repealed, change.retracted, change.written) == ((), (), ())
    assert change.profile.deadline == user.deadline
    assert change.profile.policy_version == 2
    steps = timeline(user.spans, after)
    assert not [step for step in steps if step.reason is TransitionReason.POLICY_CHANGED]


def test_a_policy_that_is_rolled_back_leaves_its_time_in_the_history() -> None:
    strict = Policy(2, 7 * DAY, 2 * DAY, 5 * DAY, 7 * DAY)
    back = Policy(3, 7 * DAY, 7 * DAY, 30 * DAY, 7 * DAY)
    policies = Policies(FIRST).followed_by(strict, day(6)).followed_by(back, day(6.5))

    steps = timeline((Span(day(0), day(0)),), policies)

    changed = TransitionReason.POLICY_CHANGED
    assert [(step.at, step.after, step.policy_version) for step in steps] == [
        (day(0), Lifecycle.NEW, 1),
        (day(6), Lifecycle.CHURNED, 2),
        (day(6.5), Lifecycle.NEW, 3),
        (day(7), Lifecycle.SILENT, 3),
        (day(30), Lifecycle.CHURNED, 3),
    ]
    assert [step.reason for step in steps[1:3]] == [changed, changed]
    assert [step.quiet_since for step in steps[1:3]] == [day(0), None]


def test_a_late_event_about_last_month_is_judged_by_last_months_policy() -> None:
    strict = Policies(FIRST).followed_by(Policy(2, 7 * DAY, 2 * DAY, 5 * DAY, 7 * DAY), day(60))
    user = begin("u", arrivals_of([day(0), day(61)], START), strict).profile

    change = advance(user, arrivals_of([day(10)], START), strict)

    late = [(step.at, step.after, step.policy_version) for step in change.written]
    assert late == [
        (day(10), Lifecycle.ACTIVE, 1),
        (day(17), Lifecycle.SILENT, 1),
        (day(40), Lifecycle.CHURNED, 1),
    ]


def test_activity_in_the_middle_of_a_silence_that_only_a_past_policy_knew_moves_it() -> None:
    """The user counts as live now, and the activity lies within the shortest silence of the last."""
    strict = Policy(2, 7 * DAY, 2 * DAY, 9 * DAY, 7 * DAY)
    back = Policy(3, 7 * DAY, 7 * DAY, 30 * DAY, 7 * DAY)
    policies = Policies(FIRST).followed_by(strict, day(10)).followed_by(back, day(13))
    user = pass_time(
        begin("u", arrivals_of([day(9), day(10.5)], START), policies), day(14), policies
    )
    silent = [step.at for step in user.written if step.after is Lifecycle.SILENT]

    change = advance(user.profile, arrivals_of([day(10.7)], START), policies)

    assert silent == [day(12.5)]
    assert [step.at for step in change.retracted] == [day(12.5)]
    assert [step.at for step in change.written] == [day(12.7)]
    assert change.profile.deadline == Deadline(day(16), Lifecycle.ACTIVE)


def test_a_step_that_happens_at_the_very_activation_keeps_its_own_reason() -> None:
    later = Policies(FIRST).followed_by(Policy(2, 7 * DAY, 7 * DAY, 40 * DAY, 7 * DAY), day(7))

    silent = timeline((Span(day(0), day(0)),), later)[1]

    assert (silent.at, silent.reason) == (day(7), TransitionReason.TIME_PASSED)


def test_a_shorter_silence_is_found_in_the_log_and_not_beyond_it() -> None:
    done = [day(0), day(4), day(8), day(12), day(13)]
    coarse = add_instants((), done, silent_after=7 * DAY)
    logged = Logged(add_instants((), done[2:], silent_after=2 * DAY), since=day(6))

    found = finer(coarse, logged, silent_after=2 * DAY)

    # The silence from 4 to 8 reaches beyond what the log holds, and is known from there on.
    assert found == (Span(day(0), day(6)), Span(day(8), day(8)), Span(day(12), day(13)))
    assert finer(coarse, None, silent_after=2 * DAY) == coarse


def test_policies_out_of_the_order_of_their_activation_are_refused() -> None:
    second, third = policy_of(2, oracle.DEFAULTS), policy_of(3, oracle.DEFAULTS)

    with pytest.raises(ContradictoryPolicy):
        Policies(FIRST).followed_by(third, day(1)).followed_by(second, day(2))
    with pytest.raises(ContradictoryPolicy):
        Policies(FIRST).followed_by(second, day(2)).followed_by(third, day(2))


def test_policies_say_which_holds_when_and_how_fine_spans_must_be() -> None:
    quick = Policy(2, 7 * DAY, 2 * DAY, 30 * DAY, 7 * DAY)
    slow = Policy(4, 7 * DAY, 20 * DAY, 30 * DAY, 7 * DAY)
    policies = Policies(FIRST).followed_by(quick, day(10)).followed_by(slow, day(20))

    asked = (day(-9), day(10) - timedelta(microseconds=1), day(10), day(20))
    assert [policies.at(each) for each in asked] == [FIRST, FIRST, quick, slow]
    assert (policies.current, policies.grain, policies.since(4)) == (slow, 2 * DAY, day(20))
    assert policies.known_to(3) == Policies(FIRST).followed_by(quick, day(10))
    with pytest.raises(KeyError):
        policies.since(3)
