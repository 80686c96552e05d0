import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.ingest.domain.admission import Circumstances, judge
from services.ingest.domain.clock_skew import Receipt
from services.ingest.domain.verdict import Admitted, FeedbackText, Refusal
from shared.vocabulary import EventType

NOW = datetime(2026, 5, 4, 12, tzinfo=UTC)
HERE = Circumstances(Receipt(NOW, NOW), sent_at=None, historical=False)
TRACK: dict[str, Any] = {"type": "track", "userId": "ada", "event": "Signed Up", "messageId": "m1"}


def judged(**changes: Any) -> Admitted | Refusal:
    fields = {name: value for name, value in (TRACK | changes).items() if value is not ...}
    return judge(fields, json.dumps(fields).encode(), HERE, made_id="made")


def admitted(**changes: Any) -> Admitted:
    verdict = judged(**changes)
    assert isinstance(verdict, Admitted), verdict
    return verdict


def test_a_plain_event_is_admitted_as_it_is() -> None:
    assert admitted(timestamp="2026-05-04T11:00:00Z") == Admitted(
        event_id="m1",
        user_id="ada",
        anonymous_id=None,
        previous_id=None,
        type=EventType.TRACK,
        name="Signed Up",
        timestamp=NOW - timedelta(hours=1),
        original_timestamp="2026-05-04T11:00:00Z",
        active=True,
        historical=False,
        flags=(),
        feedback=None,
    )


@pytest.mark.parametrize(
    ("changes", "code", "field"),
    [
        ({"type": ...}, "missing_field", "type"),
        ({"type": "bogus"}, "unknown_type", "type"),
        ({"type": 7}, "unknown_type", "type"),
        ({"userId": None}, "missing_field", "userId"),
        ({"userId": "  "}, "missing_field", "userId"),
        ({"userId": ["ada"]}, "invalid_type", "userId"),
        ({"userId": True}, "invalid_type", "userId"),
        ({"userId": "a" * 201}, "id_too_long", "userId"),
        ({"userId": "null"}, "junk_id", "userId"),
        ({"userId": "'Undefined'"}, "junk_id", "userId"),
        ({"userId": 0}, "junk_id", "userId"),
        ({"anonymousId": "[object Object]"}, "junk_id", "anonymousId"),
        ({"type": "alias"}, "missing_field", "previousId"),
        ({"type": "alias", "previousId": " "}, "missing_field", "previousId"),
        ({"type": "alias", "previousId": "guest"}, "junk_id", "previousId"),
        ({"type": "alias", "previousId": "p" * 201}, "id_too_long", "previousId"),
        ({"messageId": "m" * 201}, "id_too_long", "messageId"),
        ({"messageId": {}}, "invalid_type", "messageId"),
        ({"event": ...}, "missing_field", "event"),
        ({"event": " "}, "missing_field", "event"),
        ({"event": 3}, "invalid_type", "event"),
        ({"event": "e" * 201}, "name_too_long", "event"),
        ({"properties": "none"}, "invalid_type", "properties"),
        ({"properties": {str(n): n for n in range(101)}}, "too_many_properties", "properties"),
        ({"traits": []}, "invalid_type", "traits"),
        ({"context": 1}, "invalid_type", "context"),
        ({"historical": "true"}, "invalid_type", "historical"),
        ({"context": {"historical": 1}}, "invalid_type", "context.historical"),
        ({"context": {"active": "false"}}, "invalid_type", "context.active"),
        ({"context": {"active": 0}}, "invalid_type", "context.active"),
        ({"properties": {"revenue": -1}}, "negative_amount", "properties.revenue"),
        ({"properties": {"price": "-0.01"}}, "negative_amount", "properties.price"),
        ({"properties": {"total": "much"}}, "invalid_amount", "properties.total"),
        ({"properties": {"amount": "inf"}}, "invalid_amount", "properties.amount"),
        ({"properties": {"a": {"b": ["x\x00y"]}}}, "nul_character", "properties.a.b[0]"),
        ({"userId": "a\x00b"}, "nul_character", "userId"),
        ({"properties": {"\x00": 1}}, "nul_character", "properties"),
        ({"timestamp": "0001-01-01T00:00:00Z"}, "timestamp_out_of_range", "timestamp"),
        ({"timestamp": "1969-12-31T23:59:59Z"}, "timestamp_out_of_range", "timestamp"),
        ({"timestamp": "soon"}, "invalid_timestamp", "timestamp"),
        ({"originalTimestamp": "soon"}, "invalid_timestamp", "originalTimestamp"),
        ({"type": "feedback", "properties": {}}, "missing_field", "text"),
        ({"properties": {"text": "x" * 33_000}}, "event_too_large", None),
    ],
)
def test_what_can_not_be_taken_is_refused_with_its_field_and_a_code(
    changes: dict[str, Any], code: str, field: str | None
) -> None:
    verdict = judged(**changes)

    assert isinstance(verdict, Refusal)
    assert (verdict.code, verdict.field) == (code, field)
    assert verdict.reason


@pytest.mark.parametrize("seconds", [1795521600, 1795521600.5, 0, -1, 4102444800, -(10**30)])
@pytest.mark.parametrize("field", ["timestamp", "originalTimestamp"])
def test_a_time_in_seconds_is_refused_and_not_taken_for_milliseconds_of_1970(
    field: str, seconds: float
) -> None:
    verdict = judged(**{field: seconds})

    assert verdict == Refusal(
        "invalid_timestamp",
        field,
        "must be in milliseconds since 1970, and looks like seconds",
    )


def test_a_time_in_milliseconds_is_taken_from_1990_on() -> None:
    first = datetime(1990, 1, 1, tzinfo=UTC)

    assert admitted(timestamp=first.timestamp() * 1000).timestamp == first
    assert isinstance(judged(timestamp=first.timestamp() * 1000 - 1), Refusal)
    assert admitted(timestamp="1980-05-04T12:00:00Z").timestamp.year == 1980


@pytest.mark.parametrize("sent_at", ["soon", True, {}, 1795521600])
def test_a_sending_time_that_makes_no_sense_changes_nothing(sent_at: object) -> None:
    verdict = admitted(timestamp="2026-05-04T11:00:00Z", sentAt=sent_at)

    assert verdict.timestamp == NOW - timedelta(hours=1)


@pytest.mark.parametrize("rating", ["5", True, None, [5], {}])
def test_a_rating_that_is_no_number_is_left_out(rating: object) -> None:
    verdict = admitted(type="feedback", properties={"text": "slow", "rating": rating})

    assert verdict.feedback == FeedbackText("slow", None, None)


def test_ten_megabytes_of_id_are_refused_before_anything_looks_at_them() -> None:
    verdict = judged(userId="u" * 10_000_000)

    assert verdict == Refusal("event_too_large", None, verdict.reason)  # type: ignore[union-attr]


@pytest.mark.parametrize(("levels", "code"), [(7, None), (8, "too_deep"), (400, "too_deep")])
def test_nesting_is_bounded(levels: int, code: str | None) -> None:
    nested: Any = 1
    for _ in range(levels - 1):
        nested = [nested]

    verdict = judged(properties={"a": nested})

    assert getattr(verdict, "code", None) == code


def test_many_brackets_side_by_side_are_not_deep() -> None:
    assert isinstance(judged(properties={"list": [[] for _ in range(50)]}), Admitted)


def test_an_alias_says_which_id_becomes_the_users() -> None:
    assert admitted(type="alias", previousId=" visitor-7 ").previous_id == "visitor-7"
    assert admitted(type="identify", previousId="visitor-7").previous_id is None


def test_an_anonymous_person_is_known_by_the_anonymous_id() -> None:
    verdict = admitted(userId=None, anonymousId="visitor-7")

    assert (verdict.user_id, verdict.anonymous_id) == ("visitor-7", "visitor-7")


def test_a_junk_user_id_is_not_replaced_by_the_anonymous_one() -> None:
    verdict = judged(userId="undefined", anonymousId="visitor-7")

    assert isinstance(verdict, Refusal)


def test_a_number_may_be_an_id() -> None:
    assert admitted(userId=4711).user_id == "4711"


def test_an_event_without_an_id_gets_the_one_made_for_it() -> None:
    assert admitted(messageId=None).event_id == "made"


@pytest.mark.parametrize("length", [60, 100, 200])
def test_message_ids_may_be_as_long_as_other_generators_make_them(length: int) -> None:
    assert admitted(messageId="m" * length).event_id == "m" * length


def test_an_inactive_event_is_admitted_and_marked() -> None:
    assert not admitted(context={"active": False}).active
    assert admitted(context={"active": None}).active


@pytest.mark.parametrize("changes", [{"historical": True}, {"context": {"historical": True}}])
def test_an_event_may_say_that_it_is_history(changes: dict[str, Any]) -> None:
    assert admitted(**changes).historical
    assert not admitted().historical


@pytest.mark.parametrize(
    "changes",
    [
        {
            "type": "feedback",
            "event": ...,
            "properties": {"text": "太慢了", "rating": 1, "channel": "review"},
        },
        {
            "event": "Feedback Submitted",
            "properties": {"text": "太慢了", "rating": 1, "channel": "review"},
        },
    ],
)
def test_feedback_is_found_by_its_type_or_its_name(changes: dict[str, Any]) -> None:
    assert admitted(**changes).feedback == FeedbackText("太慢了", "review", 1.0)


def test_an_event_that_only_sounds_like_feedback_is_an_event() -> None:
    assert admitted(event="Feedback", properties={}).feedback is None


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4)
    ),
    max_leaves=12,
)


@given(
    st.dictionaries(
        st.sampled_from(
            [
                "type", "userId", "anonymousId", "event", "messageId", "timestamp", "sentAt",
                "originalTimestamp", "properties", "traits", "context", "name", "historical",
                "previousId",
            ]
        ),
        json_values,
    )
)  # fmt: skip
def test_any_json_gets_a_verdict(fields: dict[str, Any]) -> None:
    verdict = judge(fields, json.dumps(fields).encode(), HERE, made_id="made")

    if isinstance(verdict, Admitted):
        assert verdict.user_id
        assert "\x00" not in verdict.user_id + verdict.event_id
        assert verdict.timestamp.year >= 1970
    else:
        assert verdict.code
        assert verdict.reason
