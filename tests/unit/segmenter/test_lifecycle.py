"""The rule at its edges: exactly a week, exactly a month, a microsecond less or more."""

from datetime import UTC, datetime, timedelta

import pytest

from services.segmenter.domain.lifecycle import Step, state_at, timeline
from services.segmenter.domain.policy import ContradictoryPolicy, Policies, Policy
from services.segmenter.domain.spans import Span, add_instants
from shared.vocabulary import Lifecycle, TransitionReason

DAY = timedelta(days=1)
MICROSECOND = timedelta(microseconds=1)
START = datetime(2026, 1, 1, tzinfo=UTC)
POLICY = Policy(1, 7 * DAY, 7 * DAY, 30 * DAY, 7 * DAY)

NEW, ACTIVE, SILENT, CHURNED, RETURNED = Lifecycle


def at(days: float, *, more: timedelta = timedelta()) -> datetime:
    return START + days * DAY + more


def steps(*activity: datetime, policy: Policy = POLICY) -> list[Step]:
    return timeline(add_instants((), activity, silent_after=policy.silent_after), Policies(policy))


def states(*activity: datetime, policy: Policy = POLICY) -> list[tuple[float, Lifecycle]]:
    """Return each state with the day on which it begins."""
    return [((step.at - START) / DAY, step.after) for step in steps(*activity, policy=policy)]


@pytest.mark.parametrize(
    ("activity", "instant", "expected"),
    [
        ([at(0)], at(0) - MICROSECOND, None),
        ([at(0)], at(0), NEW),
        ([at(0)], at(7) - MICROSECOND, NEW),
        ([at(0)], at(7), SILENT),  # new would end here, but the silence wins
        ([at(0)], at(30) - MICROSECOND, SILENT),
        ([at(0)], at(30), CHURNED),
        ([at(0)], at(10_000), CHURNED),
        ([at(0), at(0, more=MICROSECOND)], at(7), ACTIVE),  # silent a microsecond later
        ([at(0), at(0, more=MICROSECOND)], at(7, more=MICROSECOND), SILENT),
        ([at(0), at(6)], at(7) - MICROSECOND, NEW),
        ([at(0), at(6)], at(7), ACTIVE),
        ([at(0), at(6)], at(13) - MICROSECOND, ACTIVE),
        ([at(0), at(6)], at(13), SILENT),
        ([at(0), at(6)], at(36) - MICROSECOND, SILENT),
        ([at(0), at(6)], at(36), CHURNED),
        ([at(0), at(7)], at(7), ACTIVE),  # back at the instant of the silence
        ([at(0), at(7) - MICROSECOND], at(7) - MICROSECOND, NEW),
        ([at(0), at(30) - MICROSECOND], at(30) - MICROSECOND, ACTIVE),  # a silence, no churn
        ([at(0), at(30)], at(30), RETURNED),  # back at the instant of the churn
        ([at(0), at(30)], at(37) - MICROSECOND, RETURNED),
        ([at(0), at(30)], at(37), SILENT),
        ([at(0), at(30), at(31)], at(37) - MICROSECOND, RETURNED),
        ([at(0), at(30), at(31)], at(37), ACTIVE),
        ([at(0), at(30), at(31)], at(38), SILENT),
        ([at(0), at(30), at(31)], at(61) - MICROSECOND, SILENT),
        ([at(0), at(30), at(31)], at(61), CHURNED),
        ([at(0), at(40), at(80)], at(80), RETURNED),
    ],
)
def test_the_state_at_the_edges_of_the_rule(
    activity: list[datetime], instant: datetime, expected: Lifecycle | None
) -> None:
    spans = add_instants((), activity, silent_after=POLICY.silent_after)

    assert state_at(spans, Policies(POLICY), instant) is expected


@pytest.mark.parametrize(
    ("activity", "expected"),
    [
        ([], []),
        ([0], [(0, NEW), (7, SILENT), (30, CHURNED)]),
        ([0, 3], [(0, NEW), (7, ACTIVE), (10, SILENT), (33, CHURNED)]),
        ([0, 7], [(0, NEW), (7, ACTIVE), (14, SILENT), (37, CHURNED)]),
        ([0, 8], [(0, NEW), (7, SILENT), (8, ACTIVE), (15, SILENT), (38, CHURNED)]),
        ([0, 30], [(0, NEW), (7, SILENT), (30, RETURNED), (37, SILENT), (60, CHURNED)]),
        (
            [0, 31, 33],
            [(0, NEW), (7, SILENT), (30, CHURNED), (31, RETURNED), (38, ACTIVE), (40, SILENT),
             (63, CHURNED)],
        ),
    ],
)  # fmt: skip
def test_the_whole_history(activity: list[float], expected: list[tuple[float, Lifecycle]]) -> None:
    assert states(*map(at, activity)) == expected


def test_each_step_says_why() -> None:
    reasons = [(step.after, step.reason) for step in steps(at(0), at(8), at(50), at(51))]

    assert reasons == [
        (NEW, TransitionReason.FIRST_ACTIVITY),
        (SILENT, TransitionReason.TIME_PASSED),
        (ACTIVE, TransitionReason.ACTIVITY_RESUMED),
        (SILENT, TransitionReason.TIME_PASSED),
        (CHURNED, TransitionReason.TIME_PASSED),
        (RETURNED, TransitionReason.RETURNED_AFTER_CHURN),
        (ACTIVE, TransitionReason.TIME_PASSED),
        (SILENT, TransitionReason.TIME_PASSED),
        (CHURNED, TransitionReason.TIME_PASSED),
    ]


def test_a_return_at_the_very_instant_of_the_silence_resumes_nothing() -> None:
    (_, step, *_) = steps(at(0), at(7))

    assert (step.before, step.after, step.reason) == (NEW, ACTIVE, TransitionReason.TIME_PASSED)


def test_who_returns_while_still_new_is_new_again_afterwards() -> None:
    policy = Policy(1, 100 * DAY, 7 * DAY, 30 * DAY, 7 * DAY)

    found = states(at(0), at(40), at(45), policy=policy)

    assert found[3:6] == [(40, RETURNED), (47, NEW), (52, SILENT)]


def test_a_second_return_within_the_first_goes_on_as_one() -> None:
    policy = Policy(1, 7 * DAY, 7 * DAY, 30 * DAY, 50 * DAY)

    found = states(at(0), at(40), at(80), policy=policy)

    assert found[3:8] == [
        (40, RETURNED), (47, SILENT), (70, CHURNED), (80, RETURNED), (87, SILENT)
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("apart", "spans"),
    [
        (7 * DAY - MICROSECOND, 1),
        (7 * DAY, 2),
        (7 * DAY + MICROSECOND, 2),
    ],
)
def test_instants_join_when_less_than_the_silence_lies_between_them(
    apart: timedelta, spans: int
) -> None:
    found = add_instants((), [START, START + apart], silent_after=7 * DAY)

    assert len(found) == spans


def test_an_instant_between_two_spans_may_join_them() -> None:
    apart = add_instants((), [at(0), at(10)], silent_after=7 * DAY)

    joined = add_instants(apart, [at(5)], silent_after=7 * DAY)

    assert joined == (Span(at(0), at(10)),)


NONE, WEEK, MONTH = timedelta(), 7 * DAY, 30 * DAY


@pytest.mark.parametrize(
    ("new_for", "silent_after", "churned_after", "returned_for"),
    [
        (NONE, WEEK, MONTH, WEEK),
        (-WEEK, WEEK, MONTH, WEEK),
        (WEEK, NONE, MONTH, WEEK),
        (WEEK, -MICROSECOND, MONTH, WEEK),
        (WEEK, WEEK, MONTH, NONE),
        (WEEK, WEEK, WEEK, WEEK),
        (WEEK, MONTH, WEEK, WEEK),
        (WEEK, WEEK, NONE, WEEK),
    ],
)
def test_a_policy_that_contradicts_itself_is_refused(
    new_for: timedelta, silent_after: timedelta, churned_after: timedelta, returned_for: timedelta
) -> None:
    with pytest.raises(ContradictoryPolicy):
        Policy(1, new_for, silent_after, churned_after, returned_for)


def test_the_shortest_policy_that_makes_sense_is_taken() -> None:
    policy = Policy(1, MICROSECOND, MICROSECOND, 2 * MICROSECOND, MICROSECOND)

    assert [step.after for step in steps(at(0), policy=policy)] == [NEW, SILENT, CHURNED]


@pytest.mark.parametrize(
    ("new_for", "churned_after", "returned_for", "horizon"),
    [(7, 30, 7, 30), (90, 30, 7, 90), (7, 30, 60, 60)],
)
def test_the_horizon_is_where_an_activity_stops_mattering(
    new_for: int, churned_after: int, returned_for: int, horizon: int
) -> None:
    policy = Policy(1, new_for * DAY, WEEK, churned_after * DAY, returned_for * DAY)

    assert policy.horizon == horizon * DAY
