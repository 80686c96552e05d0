"""Which events are which steps of which funnels."""

from datetime import timedelta

import pytest

from services.segmenter.domain.funnel import Condition, Funnel, Funnels, Properties, Scalar, Step

HOUR = timedelta(hours=1)
CHECKOUT = Funnel(
    7,
    (
        Step("Viewed"),
        Step("Ordered", "track", (Condition("plan", "pro"), Condition("seats", 3))),
        Step("Viewed", "page"),
    ),
    HOUR,
)
TRIAL = Funnel(9, (Step("Ordered"), Step("Renewed")), HOUR)
FUNNELS = Funnels([CHECKOUT, TRIAL])


def not_needed() -> Properties:
    raise AssertionError("nobody has to read the properties for this")


def test_an_event_of_another_name_is_no_step_and_its_properties_are_not_read() -> None:
    assert not FUNNELS.is_step("Clicked")
    assert not FUNNELS.is_step(None)
    assert FUNNELS.steps_of("Clicked", "track", not_needed) == {}


def test_a_name_may_be_a_step_of_several_funnels() -> None:
    given = {"plan": "pro", "seats": 3}

    assert FUNNELS.steps_of("Ordered", "track", lambda: given) == {7: 0b010, 9: 0b001}


def test_a_name_may_be_several_steps_of_one_funnel() -> None:
    assert FUNNELS.steps_of("Viewed", "page", not_needed) == {7: 0b101}


def test_a_step_of_a_type_is_no_event_of_another() -> None:
    assert FUNNELS.steps_of("Viewed", "track", not_needed) == {7: 0b001}


@pytest.mark.parametrize(
    "given", [{}, {"plan": "pro"}, {"plan": "pro", "seats": 4}, {"plan": "PRO", "seats": 3}]
)
def test_every_condition_of_a_step_must_hold(given: Properties) -> None:
    assert FUNNELS.steps_of("Ordered", "track", lambda: given) == {9: 0b001}


@pytest.mark.parametrize(
    ("wanted", "found", "holds"),
    [
        ("1", "1", True),
        ("1", 1, False),
        (1, 1.0, True),
        (1, True, False),
        (True, 1, False),
        (True, True, True),
        (False, True, False),
        (0, False, False),
        (0, None, False),
        ("a", ["a"], False),
        (0.1, 0.1, True),
    ],
)
def test_values_are_compared_as_json_compares_them(
    wanted: Scalar, found: object, *, holds: bool
) -> None:
    assert Condition("p", wanted).holds({"p": found}) is holds
    assert not Condition("other", wanted).holds({"p": found})


def test_all_names_of_steps_are_known() -> None:
    assert FUNNELS.names == ["Ordered", "Renewed", "Viewed"]
    assert CHECKOUT.names == {"Viewed", "Ordered"}
