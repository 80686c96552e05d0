"""Which field comes from which column, and what is said where none can."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploy.cli.exits import Failed
from deploy.cli.importing.fields import FieldPlan, Unusable, event_of, plan_fields, split_pairs

COLUMNS = ("user_id", "timestamp", "name", "Shop", "properties.total")


def plan(
    *maps: str,
    constants: tuple[str, ...] = (),
    columns: tuple[str, ...] = COLUMNS,
    all_known: bool = True,
) -> FieldPlan:
    return plan_fields(
        split_pairs(maps, "--map"), split_pairs(constants, "--set"), columns, all_known=all_known
    )


def event(values: dict[str, Any], *maps: str, **more: Any) -> dict[str, Any]:
    return event_of(values, plan(*maps, columns=tuple(values), **more))


ADA = {"user_id": "ada", "timestamp": "2024-01-01", "name": "Bought"}


def test_columns_of_a_field_s_own_name_need_no_mapping() -> None:
    values = {**ADA, "Shop": "berlin", "properties.total": "3"}

    assert event(values) == {**ADA, "properties": {"total": "3"}}


def test_a_field_is_taken_from_the_column_that_is_named() -> None:
    values = {"customer": "ada", "date": "2024-01-01", "what": "Bought", "n": "7", "user_id": "no"}

    found = event(
        values, "user_id=customer", "timestamp=date", "name=what", "message_id=n", "context.n=n"
    )

    assert found == {**ADA, "id": "7", "context": {"n": "7"}}


def test_segment_s_spelling_is_understood() -> None:
    values = {"userId": "ada", "timestamp": "2024-01-01", "event": "Bought", "messageId": "m"}

    assert event(values) == {**ADA, "id": "m"}


def test_an_alias_names_the_id_that_becomes_the_user_s() -> None:
    values = {"userId": "ada", "previousId": "visitor", "timestamp": "2024-01-01", "type": "alias"}

    found = event(values, constants=("name=Bought",))

    assert (found["user_id"], found["previous_id"], found["type"]) == ("ada", "visitor", "alias")


def test_a_constant_counts_before_its_column() -> None:
    assert event(ADA, constants=("name=Sold",))["name"] == "Sold"


@pytest.mark.parametrize(
    ("given", "value"),
    [("3", 3), ("true", True), ("berlin", "berlin"), ("007", "007"), ('["a"]', ["a"])],
)
def test_a_constant_within_an_object_is_json_where_it_can_be(given: str, value: object) -> None:
    assert event(ADA, constants=(f"properties.x={given}",))["properties"] == {"x": value}


def test_a_constant_id_or_name_is_a_text_also_where_it_is_a_number() -> None:
    assert event(ADA, constants=("user_id=42",))["user_id"] == "42"


@pytest.mark.parametrize("blank", ["", None])
def test_what_is_blank_is_left_out(blank: str | None) -> None:
    assert event({**ADA, "properties.total": blank, "id": blank}) == ADA


@pytest.mark.parametrize("value", [0, False, 0.0])
def test_what_is_nought_or_false_is_kept(value: object) -> None:
    assert event({**ADA, "properties.x": value})["properties"] == {"x": value}


def test_the_rest_of_the_columns_become_properties() -> None:
    values = {**ADA, "Shop": "berlin", "total": "3", "blank": ""}

    found = event(values, "properties.*=*", "properties.Total=total")

    assert found == {**ADA, "properties": {"Shop": "berlin", "Total": "3"}}


def test_an_object_in_a_cell_is_read_as_json_and_single_names_are_put_into_it() -> None:
    values = {**ADA, "properties": '{"a": 1, "b": 2}', "properties.b": "3"}

    assert event(values)["properties"] == {"a": 1, "b": "3"}


def test_a_cell_that_is_no_object_where_one_belongs_is_told() -> None:
    with pytest.raises(Unusable, match="properties: is no JSON object: a; b"):
        event({**ADA, "properties": "a; b"})


def test_a_path_leads_into_an_object_and_a_name_with_dots_comes_first() -> None:
    nested = {"timestamp": "2024-01-01", "name": "Bought", "who": {"id": "ada"}}

    assert event(nested, "user_id=who.id", all_known=False)["user_id"] == "ada"
    found = event({**nested, "who.id": "bob"}, "user_id=who.id", all_known=False)
    assert found["user_id"] == "bob"


def test_a_path_that_leads_nowhere_is_blank() -> None:
    nested = {"timestamp": "2024-01-01", "name": "Bought", "who": "ada"}

    assert "user_id" not in event(nested, "user_id=who.id", all_known=False)


def test_a_row_s_own_object_is_never_changed() -> None:
    own = {"a": 1}

    found = event({**ADA, "properties": own}, constants=("properties.b=2",))

    assert (found["properties"], own) == ({"a": 1, "b": 2}, {"a": 1})


def test_a_column_that_is_not_there_is_named_with_those_that_are() -> None:
    with pytest.raises(Failed) as refused:
        plan("user_id=custmer")

    assert str(refused.value) == (
        "there is no column 'custmer' to take user_id from; "
        "there are: user_id, timestamp, name, Shop, properties.total"
    )


def test_a_rare_property_of_ndjson_may_be_missing_from_the_sample_but_no_field_may() -> None:
    plan("properties.x=rare", all_known=False)
    with pytest.raises(Failed, match="no column 'rare' to take name from"):
        plan("name=rare", all_known=False)


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        (("timestamp", "name"), r"whose event it is: --map user_id=COLUMN; there are: timestamp"),
        (("user_id", "name"), "when it happened: --map timestamp=COLUMN"),
        (("anonymous_id", "timestamp"), "what happened: --map name=COLUMN, or --set name="),
        ((), "there are: none"),
    ],
)
def test_what_no_event_can_do_without_is_asked_for(columns: tuple[str, ...], words: str) -> None:
    with pytest.raises(Failed, match=words):
        plan(columns=columns)


def test_an_event_of_another_type_needs_no_name() -> None:
    plan(constants=("type=identify",), columns=("user_id", "timestamp"))
    plan(columns=("user_id", "timestamp", "type"))


@pytest.mark.parametrize(
    ("word", "reason"),
    [
        ("customer=user_id", "'customer' is no field of an event; the fields are user_id,"),
        ("user_id", "it must be FIELD=…"),
        ("user_id=", "it must be FIELD=…"),
        ("=x", "is no field"),
        ("properties.=x", "is no field"),
        ("context.*=*", "is no field"),
        ("properties.*=x", "takes the columns that are left"),
    ],
)
def test_an_option_that_makes_no_sense_is_refused(word: str, reason: str) -> None:
    with pytest.raises(Failed, match=reason.replace("*", r"\*")):
        plan(word)


def test_a_field_is_not_taken_from_two_columns() -> None:
    with pytest.raises(Failed, match="--map names id twice"):
        plan("id=Shop", "message_id=name")


texts = st.text(max_size=5)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | texts,
    lambda inner: st.dictionaries(texts, inner, max_size=3) | st.lists(inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.sampled_from([*COLUMNS, "properties", "context", "userId"]), values))
def test_whatever_a_row_holds_it_is_an_event_or_unusable(row: dict[str, Any]) -> None:
    made = plan(columns=("user_id", "timestamp", "name", "properties"), all_known=False)
    try:
        found = event_of(row, made)
    except Unusable:
        return

    assert "" not in found.values()
    assert None not in found.values()
