"""Any order, any batches, any repeats, any sweeps: the history is what the definition says."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from services.segmenter.domain.lifecycle import Step, state_at, timeline
from services.segmenter.domain.policy import Policies, Policy
from services.segmenter.domain.profile import Change, Profile, advance, begin, pass_time
from services.segmenter.domain.spans import add_instants
from tests.unit.segmenter import oracle
from tests.unit.segmenter.days import arrivals_of, unchanged
from tests.unit.segmenter.oracle import DEFAULTS, Thresholds

START = datetime(2026, 1, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)


def at(hours: int) -> datetime:
    return START + hours * HOUR


# Multiples of half a day, so that equal thresholds and exact gaps come up often.
instants = st.integers(0, 240).map(lambda half_days: at(12 * half_days))


@st.composite
def thresholds(draw: st.DrawFn) -> Thresholds:
    silent = draw(st.integers(1, 20))
    churned = silent + draw(st.integers(1, 60))
    new, returned = draw(st.integers(1, 60)), draw(st.integers(1, 90))
    hours = (12 * half_days * HOUR for half_days in (new, silent, churned, returned))
    return Thresholds(*hours)


def policies_of(rules: Thresholds) -> Policies:
    return Policies(
        Policy(1, rules.new_for, rules.silent_after, rules.churned_after, rules.returned_for)
    )


@dataclass
class World:
    """One user, and the transitions that stand."""

    policies: Policies
    profile: Profile | None = None
    standing: dict[object, Step] = field(default_factory=dict)

    def arrive(self, batch: Sequence[datetime]) -> None:
        arrivals = arrivals_of(batch, START)
        if self.profile is None:
            self.keep(begin("u", arrivals, self.policies))
        else:
            self.keep(advance(self.profile, arrivals, self.policies))

    def sweep(self, watermark: datetime) -> None:
        if self.profile is not None:
            self.keep(pass_time(unchanged(self.profile), watermark, self.policies))

    def keep(self, change: Change) -> None:
        for step in change.retracted:
            del self.standing[step.key]  # only what stands can be retracted
        for step in change.written:
            assert step.key not in self.standing
            self.standing[step.key] = step
        self.profile = change.profile

    def changes(self) -> list[oracle.Change]:
        ordered = sorted(self.standing.values(), key=lambda step: step.at)
        return [(step.at, step.before, step.after) for step in ordered]


@given(st.lists(instants, min_size=1, max_size=14), thresholds())
@settings(max_examples=400, deadline=None)
def test_the_timeline_of_all_activity_is_the_definition(
    activity: list[datetime], rules: Thresholds
) -> None:
    policies = policies_of(rules)

    spans = add_instants((), activity, silent_after=policies.grain)

    steps = timeline(spans, policies)
    far = max(activity) + policies.current.horizon
    assert [(s.at, s.before, s.after) for s in steps] == oracle.history(activity, rules, far)


@given(st.lists(instants, min_size=1, max_size=14), instants, thresholds())
@settings(max_examples=400, deadline=None)
def test_the_state_at_any_instant_is_the_definition(
    activity: list[datetime], now: datetime, rules: Thresholds
) -> None:
    known = [instant for instant in activity if instant <= now]

    spans = add_instants((), known, silent_after=rules.silent_after)

    found = state_at(spans, policies_of(rules), now)
    assert found == oracle.state(activity, rules, now)


@given(st.lists(instants, min_size=1, max_size=12), st.randoms(use_true_random=False))
@settings(deadline=None)
def test_spans_do_not_depend_on_order_repetition_or_batches(
    activity: list[datetime], random: object
) -> None:
    shuffled = sorted(activity * 2, key=lambda _: random.random())  # type: ignore[attr-defined]

    one_by_one: tuple[object, ...] = ()
    for instant in shuffled:
        one_by_one = add_instants(one_by_one, [instant], silent_after=7 * 24 * HOUR)  # type: ignore[arg-type]

    assert one_by_one == add_instants((), activity, silent_after=7 * 24 * HOUR)


batches = st.lists(instants, min_size=1, max_size=4)
acts = st.lists(st.one_of(batches, instants), min_size=1, max_size=16)


@given(acts, st.one_of(st.just(DEFAULTS), thresholds()))
@settings(max_examples=1500, deadline=None)
def test_after_any_arrivals_and_sweeps_the_history_stands_as_defined(
    script: list[list[datetime] | datetime], rules: Thresholds
) -> None:
    world, activity = World(policies_of(rules)), list[datetime]()

    for act in script:
        if isinstance(act, list):
            world.arrive(act)
            activity.extend(act)
        else:
            world.sweep(act)
        check_that_the_user_is_right(world, activity, rules)

    end = at(12 * 400)
    world.sweep(end)
    assert world.changes() == (oracle.history(activity, rules, end) if activity else [])


def check_that_the_user_is_right(world: World, activity: list[datetime], rules: Thresholds) -> None:
    profile = world.profile
    if profile is None:
        assert not activity
        return
    expected = oracle.history(activity, rules, profile.settled)
    assert world.changes() == expected
    assert (profile.lifecycle_since, profile.lifecycle) == (expected[-1][0], expected[-1][2])
    assert (profile.first_seen, profile.last_seen) == (min(activity), max(activity))
    assert profile.event_count == len(activity)
    deadline = profile.deadline
    found = None if deadline is None else (deadline.at, deadline.to)
    assert found == oracle.next_change(activity, rules, profile.settled)
