"""A preview says of each user what the definition says, by the thresholds before and by those after."""

from datetime import datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.segmenter.domain.lifecycle import state_at
from services.segmenter.domain.policy import Policies
from services.segmenter.domain.preview import moved
from services.segmenter.domain.profile import hides_silences
from services.segmenter.domain.spans import Logged, add_instants
from services.segmenter.usecases.preview_policy import (
    SAMPLE,
    Matrix,
    PreviewOvertaken,
    Question,
    policies_after,
)
from shared.errors import PermanentError
from shared.vocabulary import Lifecycle
from tests.unit.segmenter import oracle
from tests.unit.segmenter.oracle import Laws, Thresholds
from tests.unit.segmenter.test_history_equals_the_definition import START, instants, thresholds
from tests.unit.segmenter.test_policies_in_time import World, laws, policies_of, policy_of

DAY = timedelta(days=1)


@given(st.lists(instants, min_size=1, max_size=12), laws(), thresholds(), st.integers(1, 60))
@settings(max_examples=400, deadline=None)
def test_a_user_is_shown_as_the_definition_has_them_before_and_after(
    activity: list[datetime], known: Laws, draft: Thresholds, later: int
) -> None:
    before = policies_of(known)
    at = max(known[-1][0], *activity) + later * DAY / 2
    after = before.followed_by(policy_of(before.current.version + 1, draft), at)
    world = World(policies_of(known[:1]))
    world.arrive(activity)  # and nobody touched them since
    assert world.profile is not None
    logged = None
    if hides_silences(world.profile, after):
        logged = Logged(add_instants((), activity, silent_after=after.grain))

    found = moved(world.profile, at, before=before, after=after, logged=logged)

    rules = known[-1][1]
    assert found == (oracle.state(activity, rules, at), oracle.state(activity, draft, at))


def test_a_user_who_was_not_seen_by_then_is_not_counted() -> None:
    before = Policies(policy_of(1, oracle.DEFAULTS))
    world = World(before)
    world.arrive([START + 9 * DAY])
    assert world.profile is not None
    after = before.followed_by(policy_of(2, oracle.DEFAULTS), START)

    assert moved(world.profile, START, before=before, after=after, logged=None) is None
    assert state_at(world.profile.spans, before, START) is None


def test_a_matrix_counts_everybody_and_names_some_however_often_it_is_put_away() -> None:
    matrix = Matrix()
    for number in range(30):
        matrix = Matrix(matrix.cells())
        matrix.add(Lifecycle.ACTIVE, Lifecycle.SILENT, f"u{number}")
        matrix.add(Lifecycle.NEW, Lifecycle.NEW, f"n{number}")

    unchanged, changed = matrix.cells()
    assert (unchanged["before"], unchanged["after"], unchanged["users"]) == ("new", "new", 30)
    assert changed["sample"] == [f"u{number}" for number in range(SAMPLE)]
    assert matrix.totals() == {"users": 60, "changed": 30}


def test_a_question_about_another_active_policy_is_void() -> None:
    active = policies_of([(START, oracle.DEFAULTS), (START + DAY, oracle.DEFAULTS)])
    draft = policy_of(3, oracle.DEFAULTS)

    with pytest.raises(PreviewOvertaken, match="version 2 was activated meanwhile"):
        policies_after(Question(3, 1, START + 2 * DAY), draft, active)
    with pytest.raises(PermanentError, match="no policy of version 3"):
        policies_after(Question(3, 2, START + 2 * DAY), None, active)
    assert policies_after(Question(3, 2, START + 2 * DAY), draft, active).current is draft
