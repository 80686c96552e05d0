"""Messages of every version as they were when it was published: they decode, and come out the same."""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import msgspec
import pytest

from shared.contracts import codec
from shared.contracts.alerts import AlertMessage
from shared.contracts.dead_letters import DeadLetter
from shared.contracts.events import EventEnvelope, EventFlag
from shared.contracts.feedback import Feedback
from shared.contracts.transitions import Evidence, TransitionMessage
from shared.kafka.dead_letter_log import dead_letter_record, read_dead_letter
from shared.kafka.records import Record
from shared.vocabulary import (
    AlertKind,
    AlertState,
    EventType,
    Severity,
    TransitionKind,
    TransitionReason,
    TransitionStatus,
)
from tests.contracts.schemas import MESSAGES

GOLDEN = Path(__file__).parent / "golden"
NINE = datetime(2026, 3, 1, 9, 0, tzinfo=UTC)
TRANSITION = UUID("6f1f6a52-6f3c-5c43-9a0e-0a1f6f6f3a31")
ALERT = UUID("0b6e2f3c-6d0a-5b0e-9a55-3f4f0d7e6f11")

EXPECTED: dict[str, msgspec.Struct] = {
    "event.v1.json": EventEnvelope(
        source="web",
        event_id="order-4711",
        user_id="艾达",
        type=EventType.TRACK,
        timestamp=datetime(2026, 3, 1, 8, 59, 58, 250_000, UTC),
        received_at=datetime(2026, 3, 1, 9, 0, 0, 500_000, UTC),
        anonymous_id="a-1",
        previous_id="visitor-7",
        name="Order Completed",
        original_timestamp="2026-03-01T09:59:58.25+01:00",
        active=False,
        historical=True,
        flags=(EventFlag.SKEW_CORRECTED, EventFlag.CLAMPED_FUTURE),
        payload=msgspec.Raw(
            '{"event": "Order Completed", "properties":{"revenue":1.50,"备注":"快"}}'.encode()
        ),
    ),
    "event.v1.least.json": EventEnvelope(
        source="web",
        event_id="m-1",
        user_id="ada",
        type=EventType.PAGE,
        timestamp=NINE,
        received_at=NINE,
    ),
    "feedback.v1.json": Feedback(
        feedback_id="m-2",
        source="web",
        user_id="ada",
        text="物流很快, thank you 🙏",
        timestamp=NINE,
        received_at=NINE.replace(second=1),
        channel="survey",
        rating=4.5,
        historical=True,
    ),
    "feedback.v1.least.json": Feedback(
        feedback_id="m-2",
        source="web",
        user_id="ada",
        text="ok",
        timestamp=NINE,
        received_at=NINE.replace(second=1),
    ),
    "transition.v1.json": TransitionMessage(
        transition_id=TRANSITION,
        user_id="ada",
        kind=TransitionKind.LIFECYCLE,
        before="silent",
        after="churned",
        at=datetime(2026, 3, 31, 9, 0, tzinfo=UTC),
        recorded_at=datetime(2026, 4, 2, 9, 0, tzinfo=UTC),
        reason=TransitionReason.TIME_PASSED,
        policy_version=1,
        evidence=Evidence(
            source="web",
            event_id="m-1",
            last_seen=NINE,
            silent_for_s=2_592_000.0,
            since=NINE,
        ),
        historical=True,
        status=TransitionStatus.RETRACTED,
        retracted_because="a late event contradicts it",
    ),
    "transition.v1.least.json": TransitionMessage(
        transition_id=TRANSITION,
        user_id="ada",
        kind=TransitionKind.LIFECYCLE,
        before=None,
        after="new",
        at=NINE,
        recorded_at=NINE.replace(second=1),
        reason=TransitionReason.FIRST_ACTIVITY,
        policy_version=1,
    ),
    "alert.v1.json": AlertMessage(
        alert_id=ALERT,
        kind=AlertKind.USER_CHURNED,
        state=AlertState.RESOLVED,
        severity=Severity.WARNING,
        user_id="ada",
        summary="User ada has churned: no activity for 30 days, last seen on 2026-03-01.",
        owner="retention",
        playbook="user_churned",
        fired_at=datetime(2026, 3, 31, 9, 0, tzinfo=UTC),
        resolved_at=datetime(2026, 4, 2, 9, 0, tzinfo=UTC),
        resolution="user_returned",
    ),
    "alert.v1.least.json": AlertMessage(
        alert_id=ALERT,
        kind=AlertKind.USER_CHURNED,
        state=AlertState.FIRING,
        severity=Severity.WARNING,
        user_id="ada",
        summary="User ada has churned.",
        owner="retention",
        playbook="user_churned",
        fired_at=datetime(2026, 3, 31, 9, 0, tzinfo=UTC),
    ),
}
LETTERS = {
    "dead-letter.v1.json": DeadLetter(
        dead_letter_id="ingest/0123456789abcdef0123456789abcdef",
        code="junk_id",
        field="userId",
        reason="'null' is not an id of one person",
        origin="ingest",
        refused_at=NINE.replace(microsecond=500_000),
        value=b'{"userId":"null","event":"Used"}',
        key=b"ada",
        source="web",
        truncated=True,
    ),
    "dead-letter.v1.least.json": DeadLetter(
        dead_letter_id="ingest/0123456789abcdef0123456789abcdef",
        code="invalid_json",
        field=None,
        reason="is no JSON",
        origin="ingest",
        refused_at=NINE.replace(microsecond=500_000),
        value=b"{",
    ),
}
DECODE: dict[str, Callable[[bytes], msgspec.Struct]] = {
    "event": codec.decode_event,
    "feedback": codec.decode_feedback,
    "transition": codec.decode_transition,
    "alert": codec.decode_alert,
}


def golden(name: str) -> bytes:
    return (GOLDEN / name).read_bytes().rstrip(b"\n")


def decode(name: str, message: bytes) -> msgspec.Struct:
    return DECODE[name.partition(".")[0]](message)


def record(fields: dict[str, Any]) -> Record:
    key = fields["key"]
    return Record(
        0,
        fields["timestamp_ms"],
        None if key is None else key.encode(),
        fields["value"].encode(),
        [(name, text.encode()) for name, text in fields["headers"].items()],
    )


def test_every_message_that_is_published_has_its_golden_ones() -> None:
    wanted = {each.file for each in MESSAGES}
    wanted |= {name.replace(".v1.", ".v1.least.") for name in wanted}

    assert {path.name for path in GOLDEN.iterdir()} == EXPECTED.keys() | LETTERS.keys() == wanted


@pytest.mark.parametrize("name", EXPECTED)
def test_a_golden_message_decodes_to_what_it_meant_and_comes_out_the_same(name: str) -> None:
    decoded = decode(name, golden(name))

    assert decoded == EXPECTED[name]
    assert json.loads(codec.encode(decoded)) == json.loads(golden(name))


@pytest.mark.parametrize("name", [name for name in EXPECTED if ".least." not in name])
def test_a_golden_message_has_every_field_in_use(name: str) -> None:
    fields = msgspec.structs.fields(EXPECTED[name])

    assert json.loads(golden(name)).keys() == {each.encode_name for each in fields}


@pytest.mark.parametrize("name", EXPECTED)
def test_fields_that_came_later_are_ignored(name: str) -> None:
    later = {**json.loads(golden(name)), "later": {"deep": [None, "x"]}}

    decoded = decode(name, json.dumps(later, ensure_ascii=False).encode())

    assert msgspec.structs.replace(decoded, **_payload_of(name)) == EXPECTED[name]


@pytest.mark.parametrize("name", EXPECTED)
def test_a_message_says_its_version_even_where_it_is_the_only_one(name: str) -> None:
    assert json.loads(codec.encode(EXPECTED[name]))["v"] == 1


def test_the_clients_event_travels_byte_for_byte() -> None:
    payload = golden("event.v1.json").partition(b'"payload":')[2][:-1]

    assert bytes(codec.decode_event(golden("event.v1.json")).payload) == payload
    assert payload in codec.encode(EXPECTED["event.v1.json"])


@pytest.mark.parametrize("name", LETTERS)
def test_a_golden_dead_letter_is_read_as_meant_and_written_the_same(name: str) -> None:
    fields = json.loads(golden(name))

    written = dead_letter_record(LETTERS[name])

    assert read_dead_letter(record(fields)) == LETTERS[name]
    assert (written.key, written.value) == (record(fields).key, record(fields).value)
    assert written.timestamp_ms == fields["timestamp_ms"]
    assert {key: value.decode() for key, value in written.headers} == fields["headers"]


@pytest.mark.parametrize("name", LETTERS)
def test_headers_that_came_later_are_ignored(name: str) -> None:
    fields = json.loads(golden(name))
    fields["headers"]["later"] = "x"

    assert read_dead_letter(record(fields)) == LETTERS[name]


def _payload_of(name: str) -> dict[str, Any]:
    """Return the payload as it was before the message was written anew with other spaces."""
    expected = EXPECTED[name]
    return {"payload": expected.payload} if isinstance(expected, EventEnvelope) else {}
