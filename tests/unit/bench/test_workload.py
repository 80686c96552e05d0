"""The workloads of the benchmarks: sessions of many users, interleaved."""

from collections import Counter
from itertools import islice, pairwise

from tests.bench.segmenter.workload import (
    EVENTS_IN_A_SESSION,
    sessions,
    uniform,
    user_id,
    user_numbers,
)

EVENTS = 100_000
MANY = 1_000_000


def test_a_session_has_eight_events_on_average() -> None:
    users = Counter(user_numbers(sessions(MANY), EVENTS, seed=1))

    # With a million users hardly anybody comes twice; sessions still open have fewer events.
    assert 0.7 * EVENTS_IN_A_SESSION < EVENTS / len(users) < EVENTS_IN_A_SESSION


def test_sessions_of_many_users_are_interleaved() -> None:
    numbers = user_numbers(sessions(MANY), EVENTS, seed=2)

    assert sum(one == other for one, other in pairwise(numbers)) < EVENTS / 1_000


def test_only_a_limited_number_of_users_is_active_at_once() -> None:
    a_moment = 2_000
    workload = sessions(MANY)

    seen = set(islice(user_numbers(workload, EVENTS, seed=3), a_moment))

    assert len(seen) < workload.slots < EVENTS / EVENTS_IN_A_SESSION


def test_few_users_are_never_all_active() -> None:
    assert sessions(1_000).slots == 250


def test_the_users_of_sessions_are_drawn_from_all() -> None:
    users = set(user_numbers(sessions(1_000), EVENTS, seed=4))

    assert len(users) > 990
    assert users <= set(range(1_000))


def test_the_worst_case_draws_every_events_user_anew() -> None:
    users = Counter(user_numbers(uniform(MANY), EVENTS, seed=5))

    assert EVENTS / len(users) < 1.1


def test_the_same_seed_gives_the_same_workload() -> None:
    first = list(user_numbers(sessions(MANY), 1_000, seed=6))

    assert first == list(user_numbers(sessions(MANY), 1_000, seed=6))
    assert first != list(user_numbers(sessions(MANY), 1_000, seed=7))


def test_a_users_id_is_as_long_for_the_first_as_for_the_millionth() -> None:
    assert len(user_id(0)) == len(user_id(MANY - 1))
