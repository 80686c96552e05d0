"""Transitions: the same id for the same change, another for every other, and what readers get."""

import json
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid5

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from services.segmenter.domain.lifecycle import Step
from services.segmenter.domain.transition import (
    NAMESPACE,
    Cause,
    Setting,
    Transition,
    difference,
    transition,
    transition_id,
)
from services.segmenter.inbound.messages import message_of
from shared.contracts import topics
from shared.contracts.codec import decode_transition
from shared.contracts.transitions import Evidence
from shared.vocabulary import Lifecycle, TransitionReason, TransitionStatus

START = datetime(2026, 1, 1, tzinfo=UTC)
DAY = timedelta(days=1)
MICROSECOND = timedelta(microseconds=1)
STEP = Step(
    START + 7 * DAY,
    Lifecycle.ACTIVE,
    Lifecycle.SILENT,
    TransitionReason.TIME_PASSED,
    1,
    quiet_since=START,
)
SETTING = Setting("u", 0, recorded_at=START + 8 * DAY, live_since=START)
CAUSE = Cause("web", "e1", historical=False)


def test_the_id_of_a_change_is_part_of_the_contract() -> None:
    """Readers drop repeats by it, and a segmenter of another version may write it again."""
    assert transition_id(STEP, SETTING) == UUID("13304e0a-d553-50c7-a05d-b12d2403afba")


@pytest.mark.parametrize(
    ("step", "setting"),
    [
        (structs.replace(STEP, quiet_since=None), SETTING),
        (structs.replace(STEP, period_start=START), SETTING),
        (STEP, structs.replace(SETTING, recorded_at=START)),
        (STEP, structs.replace(SETTING, live_since=START + DAY)),
    ],
)
def test_the_same_change_has_the_same_id_however_it_is_explained(
    step: Step, setting: Setting
) -> None:
    assert transition_id(step, setting) == transition_id(STEP, SETTING)


@pytest.mark.parametrize(
    ("step", "setting"),
    [
        (structs.replace(STEP, at=STEP.at + MICROSECOND), SETTING),
        (structs.replace(STEP, before=Lifecycle.NEW), SETTING),
        (structs.replace(STEP, before=None), SETTING),
        (structs.replace(STEP, after=Lifecycle.CHURNED), SETTING),
        (STEP, structs.replace(SETTING, user_id="v")),
        (structs.replace(STEP, policy_version=2), SETTING),
        (STEP, structs.replace(SETTING, revision=1)),  # written again after it was retracted
    ],
)
def test_another_change_has_another_id(step: Step, setting: Setting) -> None:
    assert transition_id(step, setting) != transition_id(STEP, SETTING)


@pytest.mark.parametrize("at", [datetime(1970, 1, 1, tzinfo=UTC), datetime.max.replace(tzinfo=UTC)])
def test_any_instant_has_an_id(at: datetime) -> None:
    assert transition_id(structs.replace(STEP, at=at), SETTING).version == 5


@given(
    st.datetimes(datetime(1970, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001  the strategy adds it
    st.none() | st.sampled_from(Lifecycle),
    st.sampled_from(Lifecycle),
    st.integers(1, 2**31 - 1),
    st.text(st.characters(exclude_categories=["Cs"])),
)
def test_the_id_is_the_one_that_the_standard_makes_of_what_changed(
    at: datetime, before: Lifecycle | None, after: Lifecycle, number: int, user_id: str
) -> None:
    step = structs.replace(STEP, at=at, before=before, after=after, policy_version=number)

    made = transition_id(step, structs.replace(SETTING, user_id=user_id, revision=number))

    microseconds = (at - datetime(1970, 1, 1, tzinfo=UTC)) // MICROSECOND
    name = f"lifecycle|{before or ''}|{after}|{microseconds}|{number}|{number}|{user_id}"
    standard = uuid5(NAMESPACE, name)
    assert (made, str(made), hash(made)) == (standard, str(standard), hash(standard))
    assert made.is_safe is standard.is_safe


@pytest.mark.parametrize(
    ("live_since", "cause", "historical"),
    [
        (STEP.at, None, False),
        (STEP.at + MICROSECOND, None, True),
        (STEP.at + DAY, CAUSE, False),  # the event knows better when it came
        (START, structs.replace(CAUSE, historical=True), True),
    ],
)
def test_what_is_older_than_the_live_window_is_history_unless_its_event_was_in_time(
    live_since: datetime,
    cause: Cause | None,
    historical: bool,  # noqa: FBT001  a row of the table
) -> None:
    assert (
        transition(STEP, structs.replace(SETTING, live_since=live_since), cause).historical
        is historical
    )


def test_steps_that_differ_only_in_their_explanation_are_the_same() -> None:
    explained = structs.replace(STEP, quiet_since=START + DAY, period_start=START)

    assert difference([STEP], [explained]) == ((), ())


def test_steps_that_differ_in_their_reason_replace_each_other() -> None:
    resumed = structs.replace(STEP, reason=TransitionReason.ACTIVITY_RESUMED)

    assert difference([STEP], [resumed]) == ((STEP,), (resumed,))


def written() -> Transition:
    return transition(STEP, SETTING, CAUSE)


def test_a_message_says_all_that_the_transition_says() -> None:
    told = message_of(written(), TransitionStatus.WRITTEN, at=START + 9 * DAY)

    message = decode_transition(told.value)
    assert (told.topic, told.key, told.at) == (topics.TRANSITIONS.name, b"u", START + 9 * DAY)
    assert message.transition_id == written().transition_id
    assert (message.user_id, message.kind) == ("u", "lifecycle")
    assert (message.before, message.after) == ("active", "silent")
    assert (message.at, message.recorded_at) == (STEP.at, SETTING.recorded_at)
    assert (message.reason, message.policy_version) == (TransitionReason.TIME_PASSED, 1)
    assert message.evidence == Evidence(
        source="web", event_id="e1", last_seen=START, silent_for_s=7 * 86_400.0
    )
    assert (message.historical, message.status) == (False, TransitionStatus.WRITTEN)
    assert message.retracted_because is None


def test_a_retraction_is_the_same_message_with_its_reason() -> None:
    written_value = message_of(written(), TransitionStatus.WRITTEN, at=START).value
    retracted_value = message_of(written(), TransitionStatus.RETRACTED, at=START).value

    more = {"status": "retracted", "retracted_because": "a late event contradicts it"}
    assert json.loads(retracted_value) == json.loads(written_value) | more


def test_a_first_transition_has_nothing_before_it() -> None:
    first = transition(structs.replace(STEP, before=None), SETTING, CAUSE)

    value = message_of(first, TransitionStatus.WRITTEN, at=START).value

    assert json.loads(value)["before"] is None


def test_a_user_with_any_name_is_a_key() -> None:
    named = transition(STEP, structs.replace(SETTING, user_id="用户 🦊"), CAUSE)

    assert message_of(named, TransitionStatus.WRITTEN, at=START).key == "用户 🦊".encode()
