import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.alerts.domain.delivery import (
    Answer,
    Delivered,
    GiveUp,
    Next,
    Result,
    RetryPolicy,
    TryAgain,
    after_attempt,
)

POLICY = RetryPolicy()
FAILED = Answer(Result.RETRY_AFTER, "http 503")
RETRYABLE = st.sampled_from([Result.RETRY_AFTER, Result.UNKNOWN])
DRAWS = st.floats(0, 1)


def test_a_delivered_notice_needs_nothing_more() -> None:
    answer = Answer(Result.DELIVERED, "http 200")

    assert after_attempt(answer, attempt=12, age_s=1e9, draw=0, policy=POLICY) == Delivered()


def test_a_permanent_refusal_is_given_up_at_once() -> None:
    answer = Answer(Result.PERMANENT, "http 410")

    assert after_attempt(answer, attempt=1, age_s=0, draw=0, policy=POLICY) == GiveUp("http 410")


@pytest.mark.parametrize(
    ("attempt", "wait_s"), [(1, 5), (2, 15), (3, 45), (7, 3645), (8, 10_800), (11, 10_800)]
)
def test_waits_grow_threefold_up_to_three_hours(attempt: int, wait_s: float) -> None:
    follows = after_attempt(FAILED, attempt=attempt, age_s=0, draw=1, policy=POLICY)

    assert follows == TryAgain(wait_s)


def test_the_last_attempt_is_the_twelfth() -> None:
    follows = after_attempt(FAILED, attempt=12, age_s=0, draw=0, policy=POLICY)

    assert follows == GiveUp("http 503, after 12 attempts")


def test_what_would_be_older_than_a_day_is_not_tried_again() -> None:
    follows = after_attempt(FAILED, attempt=2, age_s=86_399, draw=0, policy=POLICY)

    assert follows == GiveUp("http 503, too old to be tried again")


def test_a_target_may_ask_for_a_longer_wait_but_not_for_ever() -> None:
    patient = Answer(Result.RETRY_AFTER, "http 429", retry_after_s=600)
    absurd = Answer(Result.RETRY_AFTER, "http 429", retry_after_s=999_999)

    assert after_attempt(patient, attempt=1, age_s=0, draw=0, policy=POLICY) == TryAgain(600)
    assert after_attempt(absurd, attempt=1, age_s=0, draw=0, policy=POLICY) == TryAgain(10_800)


def test_a_target_can_not_ask_for_a_shorter_wait() -> None:
    hasty = Answer(Result.RETRY_AFTER, "http 429", retry_after_s=0)

    assert after_attempt(hasty, attempt=3, age_s=0, draw=0, policy=POLICY) == TryAgain(22.5)


@given(
    RETRYABLE,
    st.integers(1, 10_000),
    st.floats(0, 1e7),
    DRAWS,
    st.none() | st.floats(0, 1e9),
)
def test_attempts_and_waits_are_bounded_whatever_is_answered(
    result: Result, attempt: int, age_s: float, draw: float, asked: float | None
) -> None:
    follows = after_attempt(
        Answer(result, "", asked), attempt=attempt, age_s=age_s, draw=draw, policy=POLICY
    )

    if isinstance(follows, TryAgain):
        assert attempt < POLICY.attempts
        assert POLICY.first_wait_s / 2 <= follows.wait_s <= POLICY.longest_wait_s
        assert age_s + follows.wait_s <= POLICY.give_up_after_s


@given(st.lists(DRAWS, min_size=20, max_size=20))
def test_a_target_that_never_answers_is_given_up_within_a_day(draws: list[float]) -> None:
    age_s, attempt = 0.0, 0
    follows: Next = TryAgain(0)
    for draw in draws:
        attempt += 1
        follows = after_attempt(FAILED, attempt=attempt, age_s=age_s, draw=draw, policy=POLICY)
        if isinstance(follows, GiveUp):
            break
        assert isinstance(follows, TryAgain)
        age_s += follows.wait_s

    assert isinstance(follows, GiveUp)
    assert attempt <= POLICY.attempts
    assert age_s <= POLICY.give_up_after_s
