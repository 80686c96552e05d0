import asyncio
import gzip
import json
import zlib
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shared.contracts import topics
from shared.contracts.codec import decode_feedback
from shared.contracts.events import EventFlag
from shared.kafka.dead_letter_log import read_dead_letter
from shared.kafka.log import LogRecord
from shared.kafka.records import Record
from tests.unit.ingest.site import KEY, NOW, Site

SINGLE = ["track", "identify", "page", "screen", "group", "alias"]


def track(**changes: Any) -> dict[str, Any]:
    return {"type": "track", "userId": "ada", "event": "Signed Up", "messageId": "m1"} | changes


def letter(record: LogRecord) -> Any:
    return read_dead_letter(
        Record(0, record.timestamp_ms, record.key, record.value, record.headers)
    )


@pytest.mark.parametrize("path", [f"/v1/{kind}{end}" for kind in SINGLE for end in ("", "/")])
async def test_every_segment_call_is_taken_in_both_spellings(ingest: Site, path: str) -> None:
    answer = await ingest.post(path, {"userId": "ada", "event": "Signed Up", "previousId": "a"})

    assert answer.status_code == 200
    assert answer.json() == {"ok": True, "received": 1, "accepted": 1, "errors": []}
    assert [event.type for event in ingest.events()] == [path.strip("/").split("/")[1]]


@pytest.mark.parametrize("short", "tipsgab")
async def test_the_browser_sdks_short_forms_are_taken(ingest: Site, short: str) -> None:
    single = track(type=...) | {"type": None, "previousId": "visitor-7"}
    body = {"batch": [track()]} if short == "b" else single

    assert (await ingest.post(f"/v1/{short}", body)).status_code == 200


async def test_one_bad_event_does_not_refuse_its_neighbours(ingest: Site) -> None:
    bad = {"type": "track", "userId": "null", "event": "x", "messageId": "bad"}

    answer = await ingest.post(
        "/v1/batch", {"batch": [track(messageId="1"), bad, track(messageId="2")]}
    )

    assert answer.status_code == 200
    said = answer.json()
    assert (said["ok"], said["received"], said["accepted"]) == (False, 3, 2)
    assert said["errors"] == [
        {
            "index": 1,
            "messageId": "bad",
            "code": "junk_id",
            "message": "userId is 'null', which is not the id of one person",
            "field": "userId",
        }
    ]
    assert [event.event_id for event in ingest.events()] == ["1", "2"]
    kept = letter(ingest.dead_letters()[0])
    assert (kept.code, kept.field, kept.source, kept.origin) == (
        "junk_id",
        "userId",
        "web",
        "ingest",
    )
    assert json.loads(kept.value) == bad


@pytest.mark.parametrize(
    ("text", "code", "field"),
    [
        (
            '{"type":"track","userId":"b","event":"x","properties":{"a":NaN}}',
            "not_a_number",
            "properties.a",
        ),
        (
            '{"type":"track","userId":"b","event":"x","properties":{"a":1e400}}',
            "not_a_number",
            "properties.a",
        ),
        ('{"type":"track","userId":"b","event":"\\ud800"}', "lone_surrogate", "event"),
        (
            '{"type":"track","userId":"b","event":"x","properties":{"a":"\\u0000"}}',
            "nul_character",
            "properties.a",
        ),
        ('{"userId":"b","properties":' + "[" * 100_000 + "]" * 100_000 + "}", "too_deep", None),
        ('{"type":"track","userId":"b","event":"x"; }', "invalid_json", None),
    ],
)
async def test_values_that_json_or_the_database_can_not_hold_are_named(
    ingest: Site, text: str, code: str, field: str
) -> None:
    body = f'{{"batch":[{text},{json.dumps(track())}]}}'

    single = await ingest.post("/v1/track", text.encode())
    batch = await ingest.post("/v1/batch", body.encode())
    native = await ingest.post(
        "/v1/events", f"[{text},{json.dumps(track(messageId='m2'))}]".encode()
    )

    assert single.status_code == 400
    assert (single.json()["code"], single.json().get("field")) == (code, field)
    body = f'{{"events":[{text},{json.dumps(track(messageId="m3"))}]}}'
    named = await ingest.post("/v1/events", body.encode())
    for answer in (batch, native, named):
        assert answer.status_code == 200
        assert answer.json()["accepted"] == 1
        assert [(e["code"], e["field"]) for e in answer.json()["errors"]] == [(code, field)]


async def test_an_event_that_is_no_text_is_kept_as_it_came_and_its_neighbours_are_taken(
    ingest: Site,
) -> None:
    broken = b'{"type":"track", "userId":"b", "event":"\xff"}'
    good = json.dumps(track()).encode()

    answer = await ingest.post("/v1/batch", b'{"batch":[' + good + b", " + broken + b"]}")

    assert (answer.status_code, answer.json()["accepted"]) == (200, 1)
    assert [error["index"] for error in answer.json()["errors"]] == [1]
    assert letter(ingest.dead_letters()[0]).value == broken
    assert bytes(ingest.events()[0].payload) == good


@pytest.mark.parametrize("value", ["NaN", '"\\ud800"'])
async def test_what_is_refused_alone_is_refused_beside_a_context_too(
    ingest: Site, value: str
) -> None:
    broken = f'{{"type":"track","event":"x","userId":"u","properties":{{"p":{value}}}}}'
    body = f'{{"context":{{"a":1}},"batch":[{broken},{json.dumps(track())}]}}'

    answer = await ingest.post("/v1/batch", body.encode())

    assert (answer.status_code, answer.json()["accepted"]) == (200, 1)
    [error] = answer.json()["errors"]
    assert (error["index"], error["field"]) == (0, "properties.p")
    assert letter(ingest.dead_letters()[0]).value == broken.encode()


async def test_a_context_may_not_grow_beyond_a_body_by_being_repeated(ingest: Site) -> None:
    batch = [track(messageId=str(number)) for number in range(2_500)]

    taken = await ingest.post("/v1/batch", {"batch": batch, "context": {"a": "x" * 2_000}})
    refused = await ingest.post("/v1/batch", {"batch": batch, "context": {"a": "x" * 3_000}})

    assert (taken.status_code, taken.json()["accepted"]) == (200, 2_500)
    assert (refused.status_code, refused.json()["code"]) == (413, "context_too_large")


async def test_an_id_that_no_answer_can_hold_is_told_as_far_as_it_can_be(ingest: Site) -> None:
    broken = '{"type":"track","event":"x","userId":"u","messageId":"a\\ud800b"}'

    answer = await ingest.post(
        "/v1/batch", f'{{"batch":[{broken},{json.dumps(track())}]}}'.encode()
    )

    assert (answer.status_code, answer.json()["accepted"]) == (200, 1)
    [error] = answer.json()["errors"]
    assert (error["messageId"], error["field"]) == ("a?b", "messageId")


async def test_a_refused_single_event_answers_400_in_every_sdks_words(ingest: Site) -> None:
    answer = await ingest.post("/v1/track", {"userId": "ada"})

    assert answer.status_code == 400
    said = answer.json()
    assert said["code"] == "missing_field"
    assert said["message"] == said["detail"] == said["error"]
    assert said["field"] == "event"


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"{", 400, "invalid_json"),
        (b"", 400, "invalid_json"),
        (b'{"batch": 3}', 400, "invalid_body"),
        (b"[]", 400, "invalid_body"),
        (b"\xff\xfe", 400, "invalid_json"),
        (b'{"x":' + b"[" * 100_000 + b"]" * 100_000 + b',"batch":[]}', 400, "too_deep"),
        (b'{"batch":[' + b"1," * 2_500 + b"1]}", 413, "too_many_events"),
        (b"\x1f\x8b\x08not gzip at all", 400, "invalid_gzip"),
        (gzip.compress(b"{}")[:-9], 400, "invalid_gzip"),
        (gzip.compress(b" " * 6_000_000), 413, "body_too_large"),
    ],
)
async def test_a_body_that_can_not_be_read_is_refused_and_kept(
    ingest: Site, body: bytes, status: int, code: str
) -> None:
    answer = await ingest.post("/v1/batch", body)

    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert answer.json()["message"]
    if body:
        assert letter(ingest.dead_letters()[0]).value == body[: 1024 * 1024]


@pytest.mark.parametrize(
    ("path", "body", "field", "message"),
    [
        ("batch", b"", None, "the body is empty"),
        ("track", b" \n", None, "the body is empty"),
        ("events", b"", None, "the body is empty"),
        ("track", b'{"userId": ada}', None, "the body is no JSON (at byte 11)"),
        ("events", b"[1", None, "the body is no JSON: it ends too early"),
        ("track", b'{"a": "\xff"}', None, "the body is not UTF-8 (at byte 7)"),
        ("batch", b"[]", None, "the body must be an object with a list 'batch', not an array"),
        ("batch", b"{}", "batch", "batch is missing"),
        ("batch", b'{"batch": 3}', "batch", "batch must be an array, not a number"),
        ("batch", b'{"batch": 3', None, "the body is no JSON: it ends too early"),
        ("events", b'{"events": {}}', "events", "events must be an array, not an object"),
        ("track", b"3", None, "the event must be an object, not a number"),
        ("track", b'{"event": "x"}', "userId",
         "userId is missing or empty, and there is no anonymous id"),
        ("track", b'{"userId": "a"}', "event",
         "event is missing or empty: a track event needs a name"),
        ("track", b'{"userId": "a", "event": []}', "event", "event must be a string, not an array"),
        ("track", b'{"userId": "a", "event": "x", "type": "feedback"}', "text",
         "text is missing or empty: feedback needs a text"),
        ("track", gzip.compress(b"{}")[:-1], None, "the body is gzip that ends too early"),
        ("track", gzip.compress(b"{}") + b"junk", None, "the body is not gzip to its end"),
    ],
)  # fmt: skip
async def test_a_refusal_is_an_english_sentence(
    ingest: Site, path: str, body: bytes, field: str | None, message: str
) -> None:
    answer = await ingest.post(f"/v1/{path}", body)

    assert answer.status_code == 400
    assert (answer.json()["message"], answer.json().get("field")) == (message, field)


async def test_a_fault_of_one_event_among_many_is_told_of_the_event(ingest: Site) -> None:
    body = b'{"batch": [{"userId": ada}, {"userId": "\xff"}, 3]}'

    answer = await ingest.post("/v1/batch", body)

    assert [error["message"] for error in answer.json()["errors"]] == [
        "the event is no JSON (at byte 11)",
        "the event is not UTF-8 (at byte 12)",
        "the event must be an object, not a number",
    ]


@pytest.mark.parametrize(
    ("path", "fields", "field"),
    [
        ("/v1/batch", {"historical": "yes"}, "historical"),
        ("/v1/batch", {"historical_migration": 1}, "historical_migration"),
        ("/v1/batch", {"context": [1]}, "context"),
        ("/v1/batch", {"context": "none"}, "context"),
        ("/v1/events", {"historical": {}}, "historical"),
    ],
)
async def test_a_batch_that_says_something_senseless_of_its_events_is_refused(
    ingest: Site, path: str, fields: dict[str, Any], field: str
) -> None:
    parts = path.removeprefix("/v1/")

    answer = await ingest.post(path, {parts: [track()]} | fields)

    assert answer.status_code == 400
    assert (answer.json()["code"], answer.json()["field"]) == ("invalid_body", field)
    kept = letter(ingest.dead_letters()[0])
    assert (kept.code, kept.field) == ("invalid_body", field)
    assert not ingest.events()


async def test_a_batch_may_leave_open_what_it_could_say_of_its_events(ingest: Site) -> None:
    body = {"batch": [track()], "context": None, "historical": False, "historical_migration": None}

    assert (await ingest.post("/v1/batch", body)).json()["accepted"] == 1
    assert not ingest.events()[0].historical


async def test_a_body_above_the_limit_is_refused_by_its_announced_length(ingest: Site) -> None:
    answer = await ingest.post("/v1/track", track(properties={"x": "y" * 1_100_000}))

    assert (answer.status_code, answer.json()["code"]) == (413, "body_too_large")


async def test_a_batch_may_be_as_large_as_the_largest_sdk_sends(ingest: Site) -> None:
    batch = [track(messageId=str(n), properties={"x": "y" * 30_000}) for n in range(120)]

    answer = await ingest.post("/v1/batch", {"batch": batch})

    assert (answer.status_code, answer.json()["accepted"]) == (200, 120)


@pytest.mark.parametrize("headers", [{"content-encoding": "gzip"}, {}])
@pytest.mark.parametrize("kind", ["application/x-www-form-urlencoded", "text/plain", ""])
async def test_gzip_is_known_by_its_first_bytes_and_content_types_are_ignored(
    ingest: Site, headers: dict[str, str], kind: str
) -> None:
    body = gzip.compress(json.dumps({"batch": [track()]}).encode())

    answer = await ingest.post("/v1/batch", body, headers=headers | {"content-type": kind})

    assert (answer.status_code, answer.json()["accepted"]) == (200, 1)


@pytest.mark.parametrize("cut", [1, 30_000])
async def test_all_members_of_a_gzip_are_read(ingest: Site, cut: int) -> None:
    batch = [track(messageId=str(number), properties={"x": "y" * 900}) for number in range(50)]
    body = json.dumps({"batch": batch}).encode()
    packed = gzip.compress(body[:cut]) + gzip.compress(b"") + gzip.compress(body[cut:])

    answer = await ingest.post("/v1/batch", packed)

    assert (answer.status_code, answer.json()["accepted"]) == (200, 50)


async def test_the_members_of_a_gzip_have_one_limit_together(ingest: Site) -> None:
    answer = await ingest.post("/v1/batch", gzip.compress(b" " * 1024 * 1024) * 6)

    assert (answer.status_code, answer.json()["code"]) == (413, "body_too_large")


@pytest.mark.parametrize("junk", [b"x", b"\x00", b"\x1f", b"junk" * 10_000, b"\x1f\x8b\x08"])
async def test_a_gzip_with_junk_behind_it_is_refused(ingest: Site, junk: bytes) -> None:
    body = gzip.compress(json.dumps({"batch": [track()]}).encode()) + junk

    answer = await ingest.post("/v1/batch", body)

    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_gzip")
    assert not ingest.events()


async def test_an_unknown_encoding_is_refused(ingest: Site) -> None:
    body = zlib.compress(json.dumps({"batch": [track()]}).encode())

    answer = await ingest.post("/v1/batch", body, headers={"content-encoding": "br"})

    assert (answer.status_code, answer.json()["code"]) == (400, "unknown_encoding")


async def test_write_keys_come_by_basic_bearer_or_inside_the_body(ingest: Site) -> None:
    basic = await ingest.post("/v1/track", track())
    bearer = await ingest.post(
        "/v1/track", track(), key=None, headers={"authorization": f"Bearer {KEY}"}
    )
    inside = await ingest.post("/v1/track", track(writeKey=KEY), key=None)
    batch = await ingest.post("/v1/batch", {"batch": [track()], "writeKey": KEY}, key=None)

    assert [each.status_code for each in (basic, bearer, inside, batch)] == [200] * 4
    assert {event.source for event in ingest.events()} == {"web"}


@pytest.mark.parametrize("key", [None, "wrong", "x" * 10_000, "ключ"])
async def test_a_wrong_key_is_refused_and_nothing_of_it_is_kept(
    ingest: Site, key: str | None
) -> None:
    headers = None if key is None else {"authorization": f"Bearer {key}".encode()}

    answer = await ingest.client.post("/v1/track", json=track(), headers=headers)  # type: ignore[arg-type]

    assert (answer.status_code, answer.json()["code"]) == (401, "invalid_write_key")
    assert not ingest.log.written


async def test_a_repeat_within_one_request_is_kept_once(ingest: Site) -> None:
    answer = await ingest.post("/v1/batch", {"batch": [track(), track(), track(messageId="m2")]})

    assert answer.json() == {"ok": True, "received": 3, "accepted": 3, "errors": []}
    assert [event.event_id for event in ingest.events()] == ["m1", "m2"]


async def test_without_kafka_the_answer_is_503_with_retry_after(ingest: Site) -> None:
    ingest.log.refusing = True

    answer = await ingest.post("/v1/batch", {"batch": [track()]})

    assert answer.status_code == 503
    assert answer.headers["retry-after"] == "1"
    assert answer.json()["code"] == "unavailable"


async def test_a_refusal_that_can_not_be_kept_is_asked_for_again(ingest: Site) -> None:
    ingest.log.refusing = True

    event = await ingest.post("/v1/track", {"userId": "null", "event": "x"})
    body = await ingest.post("/v1/track", b"{")

    assert (event.status_code, body.status_code) == (503, 503)


async def test_the_answer_waits_for_the_acknowledgement(ingest: Site) -> None:
    ingest.log.stall()
    asking = asyncio.create_task(ingest.post("/v1/track", track()))
    for _ in range(20):
        await asyncio.sleep(0)

    assert not asking.done()

    ingest.log.resume()
    assert (await asking).status_code == 200


async def test_feedback_goes_to_its_own_topic_as_well(ingest: Site) -> None:
    answer = await ingest.post(
        "/v1/events",
        {"type": "feedback", "user_id": "ada", "text": "太慢了", "channel": "review", "rating": 2},
    )

    assert answer.status_code == 200
    [event] = ingest.events()
    [record] = ingest.records(topics.FEEDBACK.name)
    feedback = decode_feedback(record.value)
    assert (feedback.text, feedback.channel, feedback.rating) == ("太慢了", "review", 2.0)
    assert (feedback.feedback_id, feedback.source) == (event.event_id, event.source)
    assert record.key == b"ada"


@pytest.mark.parametrize("form", ["one", "list", "object"])
async def test_the_native_address_takes_one_event_or_many(ingest: Site, form: str) -> None:
    one = {"id": "n1", "user_id": "ada", "name": "Signed Up", "timestamp": "2026-05-04T11:00:00Z"}
    body: Any = {"one": one, "list": [one], "object": {"events": [one]}}[form]

    answer = await ingest.post("/v1/events", body)

    assert answer.json() == {"ok": True, "received": 1, "accepted": 1, "errors": []}
    [event] = ingest.events()
    assert (event.event_id, event.user_id, event.name) == ("n1", "ada", "Signed Up")
    assert event.timestamp == NOW - timedelta(hours=1)
    assert json.loads(bytes(event.payload)) == one


@pytest.mark.parametrize(
    ("event", "field"),
    [
        ({"user_id": "null", "name": "x"}, "user_id"),
        ({"userId": "null", "name": "x"}, "userId"),
        ({"name": "x"}, "user_id"),
        ({"user_id": "ada"}, "name"),
        ({"user_id": "ada", "event": 7}, "event"),
        ({"event_id": [], "user_id": "ada", "name": "x"}, "event_id"),
        ({"user_id": "ada", "name": "x", "timestamp": "soon"}, "timestamp"),
    ],
)
async def test_the_native_address_names_a_field_as_its_client_does(
    ingest: Site, event: dict[str, Any], field: str
) -> None:
    answer = await ingest.post("/v1/events", {"events": [event]})

    [error] = answer.json()["errors"]
    assert error["field"] == field


@pytest.mark.parametrize("given", [None, "", " \t", 7, "7"])
async def test_every_event_that_is_kept_has_an_id(ingest: Site, given: object) -> None:
    answer = await ingest.post("/v1/batch", {"batch": [track(messageId=given)]})

    assert answer.json()["accepted"] == 1
    [event] = ingest.events()
    assert len(event.event_id) == (1 if given in (7, "7") else 36)


async def test_the_clients_bytes_are_kept_as_they_came(ingest: Site) -> None:
    raw = b'{"type": "track",  "userId":"ada", "event":"x", "_metadata": {"a": [1, 2.50]}}'

    await ingest.post("/v1/track", raw)

    assert bytes(ingest.events()[0].payload) == raw


async def test_what_a_batch_says_of_all_its_events_reaches_each(ingest: Site) -> None:
    body = {
        "batch": [track(timestamp="2026-05-04T10:00:00Z", context={"page": 1})],
        "context": {"active": False, "page": 2},
        "sentAt": "2026-05-04T11:00:00Z",
        "historical_migration": True,
    }

    await ingest.post("/v1/batch", body)

    [event] = ingest.events()
    assert json.loads(bytes(event.payload))["context"] == {"active": False, "page": 1}
    assert (event.active, event.historical) == (False, True)
    assert event.timestamp == NOW - timedelta(hours=1)
    assert event.flags == (EventFlag.SKEW_CORRECTED,)


async def test_records_carry_the_user_as_key_and_the_receipt_as_time(ingest: Site) -> None:
    await ingest.post("/v1/track", track(userId="用户 1"))

    [record] = ingest.records(topics.EVENTS.name)
    assert record.key == "用户 1".encode()
    assert record.timestamp_ms == int(NOW.timestamp() * 1000)


@pytest.mark.parametrize(("method", "path"), [("GET", "/v1/track"), ("PUT", "/v1/batch/")])
async def test_another_method_is_refused_in_json(ingest: Site, method: str, path: str) -> None:
    answer = await ingest.client.request(method, path)

    assert answer.status_code == 405
    assert {"code", "message"} <= answer.json().keys()


@pytest.mark.parametrize(
    ("path", "allowed"),
    [("/", "GET"), ("/livez", "GET"), ("/readyz", "GET"), ("/metrics", "GET"), ("/v1/t", "POST")],
)
async def test_an_address_that_takes_another_method_says_which(
    ingest: Site, path: str, allowed: str
) -> None:
    answer = await ingest.client.delete(path)

    assert answer.status_code == 405
    assert allowed in answer.headers["allow"].split(", ")


@pytest.mark.parametrize(
    "path", ["/", "/livez", "/v2/track", "/v1/track/x", "//v1/track", "/v1/%00"]
)
async def test_every_other_path_answers_in_json_and_never_redirects(
    ingest: Site, path: str
) -> None:
    answer = await ingest.client.get(f"http://ingest{path}")

    assert answer.status_code in (200, 404)
    if answer.status_code == 404:
        assert {"code", "message"} <= answer.json().keys()


async def test_a_browser_may_ask_before_it_sends(ingest: Site) -> None:
    answer = await ingest.client.options("/v1/track")

    assert answer.status_code == 200
    assert answer.headers["access-control-allow-origin"] == "*"
    assert "authorization" in answer.headers["access-control-allow-headers"]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    path=st.sampled_from(["/v1/track", "/v1/batch", "/v1/events"]),
    body=st.binary(max_size=200)
    | st.text(max_size=80).map(str.encode)
    | st.from_regex(rb'\A\{"batch":\[[^\n]{0,60}\]\}\Z'),
)
async def test_no_body_is_answered_with_a_fault_of_ours(
    ingest: Site, path: str, body: bytes
) -> None:
    answer = await ingest.post(path, body)

    assert answer.status_code in (200, 400, 413)
    if answer.status_code != 200:
        assert {"code", "message"} <= answer.json().keys()
