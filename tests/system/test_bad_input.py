"""Bad input over real HTTP: every answer says what is wrong and where, and nobody else is disturbed."""

import asyncio
import base64
import gzip
import json
import math
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import httpx
import pytest
import pytest_asyncio

from tests.system.reader import Reader, reading
from tests.system.stack import Stack

pytestmark = [pytest.mark.system, pytest.mark.timeout(240)]

MIB = 1024 * 1024
SOON_S = 30.0
# The guard's limits, that for whole bodies a short one, and a little for a busy machine.
HEADERS_S, IDLE_S, BODY_S, LATE_S = 5.0, 10.0, 15.0, 5.0
DRIPPING = 40


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stack(
    tmp_path_factory: pytest.TempPathFactory, postgres_url: str
) -> AsyncIterator[Stack]:
    """One system for all: none of them may leave it worse for the next."""
    async with Stack(
        tmp_path_factory.mktemp("bad-input") / "stack",
        postgres=postgres_url,
        settings={"EBBTIDE_INGEST_BODY_S": str(BODY_S)},
    ) as running:
        yield running


def event(user: object = "ada", **changes: Any) -> dict[str, Any]:
    return {"type": "track", "userId": user, "event": "Used"} | changes


def written(fields: Any) -> bytes:
    return json.dumps(fields).encode()


def with_time(timestamp: str) -> bytes:
    return written(event(timestamp=timestamp))


def with_properties(**properties: Any) -> bytes:
    return written(event(properties=properties))


def nested(levels: int) -> bytes:
    return b'{"a":' * levels + b"1" + b"}" * levels


class BadEvent(NamedTuple):
    """An event in its bytes, and what is wrong with it where."""

    raw: bytes
    code: str
    field: str | None
    name: str


class BadBody(NamedTuple):
    """A body, its answer, and what is kept of it: nothing where its announced length says enough."""

    path: str
    body: bytes
    status: int
    code: str
    kept: bytes | None
    name: str


BAD = [
    BadEvent(b"3", "invalid_type", None, name="no object"),
    BadEvent(written(event(user=None)), "missing_field", "userId", name="nobody"),
    BadEvent(written(event(user="undefined")), "junk_id", "userId", name="everybody"),
    BadEvent(written(event(user=["ada"])), "invalid_type", "userId", name="list as id"),
    BadEvent(written(event(user="a" * 300)), "id_too_long", "userId", name="long id"),
    BadEvent(written(event(user="a" * 3 * MIB)), "event_too_large", None, name="3 MiB of id"),
    BadEvent(written(event(event=None)), "missing_field", "event", name="no name"),
    BadEvent(written(event(type="dance")), "unknown_type", "type", name="unknown type"),
    BadEvent(written(event(user="a\0b")), "nul_character", "userId", name="NUL in the id"),
    BadEvent(
        with_properties(a=[{"b": "\0"}]), "nul_character", "properties.a[0].b", name="NUL deep down"
    ),
    BadEvent(
        with_properties(a="\ud800"), "lone_surrogate", "properties.a", name="half a surrogate pair"
    ),
    BadEvent(with_properties(a=math.nan), "not_a_number", "properties.a", name="NaN"),
    BadEvent(with_properties(a=-math.inf), "not_a_number", "properties.a", name="infinity"),
    BadEvent(
        with_properties(revenue=-1), "negative_amount", "properties.revenue", name="negative amount"
    ),
    BadEvent(
        with_properties(price="-0.5"), "negative_amount", "properties.price", name="negative text"
    ),
    BadEvent(
        with_time("0001-01-01T00:00:00Z"), "timestamp_out_of_range", "timestamp", name="year 1"
    ),
    BadEvent(
        with_time("0001-01-01T00:00:00+14:00"),
        "timestamp_out_of_range",
        "timestamp",
        name="before the calendar",
    ),
    BadEvent(with_time("yesterday"), "invalid_timestamp", "timestamp", name="no time"),
    BadEvent(
        written(event(timestamp=1795521600)), "invalid_timestamp", "timestamp", name="seconds"
    ),
    BadEvent(
        written(event(context={"active": "false"})),
        "invalid_type",
        "context.active",
        name="a flag in words",
    ),
    BadEvent(
        with_properties(a=json.loads(nested(20))), "too_deep", None, name="20 levels of nesting"
    ),
    BadEvent(nested(100_000), "too_deep", None, name="100,000 levels of nesting"),
    BadEvent(b'{"userId":"\xff\xfe"}', "invalid_json", None, name="no UTF-8"),
]

DEEP = b'{"batch":[],"context":' + nested(100_000) + b"}"
BODIES = [
    BadBody("/v1/batch", DEEP, 400, "too_deep", DEEP, name="100,000 levels around the events"),
    BadBody("/v1/batch", b'{"batch":[', 400, "invalid_json", b'{"batch":[', name="half a body"),
    BadBody("/v1/batch", b'{"batch":3}', 400, "invalid_body", b'{"batch":3}', name="no list"),
    BadBody(
        "/v1/batch",
        flagged := b'{"batch":[],"historical":"no"}',
        400,
        "invalid_body",
        flagged,
        name="a flag in words",
    ),
    BadBody(
        "/v1/batch",
        trailed := gzip.compress(b'{"batch":[]}', mtime=0) + b"junk",
        400,
        "invalid_gzip",
        trailed,
        name="junk behind gzip",
    ),
    BadBody(
        "/v1/batch", b"\x1f\x8bno gzip", 400, "invalid_gzip", b"\x1f\x8bno gzip", name="bad gzip"
    ),
    BadBody(
        "/v1/batch",
        bomb := gzip.compress(b" " * 200 * MIB, mtime=0),
        413,
        "body_too_large",
        bomb,
        name="gzip bomb of 200 MiB",
    ),
    BadBody(
        "/v1/batch",
        packed := gzip.compress(written({"batch": [event(user="a" * 10_000_000)]}), mtime=0),
        413,
        "body_too_large",
        packed,
        name="10 MB of id, packed",
    ),
    BadBody(
        "/v1/events",
        written(event(user="a" * 10_000_000)),
        413,
        "body_too_large",
        None,
        name="10 MB of id",
    ),
    BadBody("/v1/track", b" " * (MIB + 1), 413, "body_too_large", None, name="a byte too many"),
]


@dataclass(frozen=True)
class Site:
    """Ingest as a product app sees it, and the api as an operator does.

    What stood there when the test began is another test's.
    """

    stack: Stack
    app: httpx.AsyncClient
    operator: Reader
    letters_before: int
    users_before: frozenset[str]

    async def post(self, path: str, body: bytes, **headers: str) -> httpx.Response:
        return await self.app.post(path, content=body, headers=headers)

    async def letters(self, at_least: int) -> list[Any]:
        """Wait for so many dead letters; return them all, the oldest first."""
        async with asyncio.timeout(SOON_S):
            while True:
                letters = await all_letters(self.operator)
                if len(letters) >= self.letters_before + at_least:
                    return letters[self.letters_before :]
                await asyncio.sleep(0.1)

    async def users(self) -> dict[str, Any]:
        await self.stack.caught_up()
        users = {each["user_id"]: each for each in await self.operator.everything("users")}
        return {user: row for user, row in users.items() if user not in self.users_before}


async def all_letters(operator: Reader) -> list[Any]:
    page = await operator.get("/v1/dead-letters", limit=100, source="test")
    return list(reversed(page["dead_letters"]))


@asynccontextmanager
async def visiting(stack: Stack) -> AsyncIterator[Site]:
    async with (
        httpx.AsyncClient(
            base_url=stack.ingest_url, auth=(stack.write_key, ""), timeout=30, trust_env=False
        ) as app,
        reading(stack.api_url, stack.api_key) as operator,
    ):
        letters = await all_letters(operator)
        users = await operator.everything("users")
        yield Site(stack, app, operator, len(letters), frozenset(each["user_id"] for each in users))


def bytes_of(letter: Any) -> bytes:
    if letter["text"] is None:
        return base64.b64decode(letter["base64"])
    return str(letter["text"]).encode()


async def test_a_bad_event_is_named_and_kept_and_its_neighbours_become_users(stack: Stack) -> None:
    async with visiting(stack) as site:
        answers = []
        for number, bad in enumerate(BAD):
            left, right = (
                written(event(user=f"good-{number}-{side}")) for side in ("left", "right")
            )
            body = b'{"batch":[' + b",".join([left, bad.raw, right]) + b"]}"
            answers.append(await site.post("/v1/batch", body))
        kept = {bytes_of(each): each for each in await site.letters(len(BAD))}
        users = await site.users()

    for answer, bad in zip(answers, BAD, strict=True):
        said, letter = answer.json(), kept[bad.raw[:MIB]]
        assert (answer.status_code, said["accepted"]) == (200, 2), (bad.name, said)
        [error] = said["errors"]
        assert (error["index"], error["code"], error["field"]) == (1, bad.code, bad.field), bad.name
        assert (letter["code"], letter["field"]) == (bad.code, bad.field), bad.name
        assert letter["reason"]
        assert letter["reason"] in error["message"], bad.name
        assert letter["origin"] == "ingest"
        assert letter["truncated"] == (len(bad.raw) > MIB), bad.name
    assert users.keys() == {
        f"good-{number}-{side}" for number in range(len(BAD)) for side in ("left", "right")
    }


async def test_a_body_that_can_not_be_read_is_named_and_kept(stack: Stack) -> None:
    wanted = [(bad.code, bad.kept) for bad in BODIES if bad.kept is not None]

    async with visiting(stack) as site:
        for bad in BODIES:
            answer = await site.post(bad.path, bad.body)
            assert (answer.status_code, answer.json()["code"]) == (bad.status, bad.code), bad.name
            assert answer.json()["message"] == answer.json()["detail"]
        wrong_key = await site.app.post("/v1/track", json=event(), auth=("nobody's key", ""))
        after = await site.post("/v1/track", written(event(user="after")))
        letters = await site.letters(len(wanted))
        users = await site.users()

    assert [(each["code"], bytes_of(each)) for each in letters] == wanted
    assert all(each["reason"] for each in letters)
    assert (wrong_key.status_code, wrong_key.json()["code"]) == (401, "invalid_write_key")
    assert after.status_code == 200
    assert users.keys() == {"after"}


async def test_times_beyond_the_calendar_are_taken_for_now(stack: Stack) -> None:
    before = stack.now()
    times = ("9999-12-31T23:59:59.999999Z", "9999-12-31T23:59:59-14:00")
    batch = [event(user=time, timestamp=time) for time in times]
    batch += [event(user="sent in 9999", timestamp=before.isoformat(), sentAt=times[0])]

    async with visiting(stack) as site:
        answer = await site.post("/v1/batch", written({"batch": batch}))
        users = await site.users()

    assert answer.json()["accepted"] == len(batch), answer.text
    for user in users.values():
        assert before <= datetime.fromisoformat(user["last_seen"]) <= stack.now(), user
        assert user["lifecycle"] == "new"
    assert len(users) == len(batch)


async def test_a_question_that_makes_no_sense_is_answered_with_the_parameter(stack: Stack) -> None:
    async with httpx.AsyncClient(
        base_url=stack.api_url,
        headers={"authorization": f"Bearer {stack.api_key}"},
        trust_env=False,
    ) as client:
        asked = {
            "lifecycle": await client.get("/v1/users", params={"lifecycle": "asleep"}),
            "limit": await client.get("/v1/users", params={"limit": "a million"}),
            "cursor": await client.get("/v1/transitions", params={"cursor": "\ud7ff\0"}),
            "colour": await client.get("/v1/alerts", params={"colour": "red"}),
        }
        unknown = await client.get("/v1/users/nobody")
        nul = await client.get("/v1/users/%00")
        without_key = await client.get("/v1/users", headers={"authorization": "Bearer nobody's"})

    for field, answer in asked.items():
        assert answer.status_code == 400, field
        assert answer.headers["content-type"] == "application/problem+json"
        assert (answer.json()["code"], answer.json()["field"]) == ("invalid_parameter", field)
        assert field in answer.json()["detail"]
    assert "returned" in asked["lifecycle"].json()["detail"]
    assert {unknown.status_code, nul.status_code} == {404}
    assert (without_key.status_code, without_key.json()["code"]) == (401, "invalid_api_key")


@dataclass(frozen=True)
class Slow:
    """A client that sends a beginning and then, if anything, a byte now and then."""

    beginning: bytes
    drips: bool
    cut_within_s: float
    stays_s: float = 0.0


HEAD = b"POST /v1/track HTTP/1.1\r\nHost: here\r\nContent-Length: 1000\r\n"
SLOW: Sequence[Slow] = (
    *[Slow(b"", drips=False, cut_within_s=HEADERS_S)] * DRIPPING,
    *[Slow(b"POST /v1/track HTTP/1.1\r\nX-Dripping: ", drips=True, cut_within_s=HEADERS_S)]
    * DRIPPING,
    *[Slow(HEAD + b"\r\n{", drips=False, cut_within_s=IDLE_S)] * DRIPPING,
    *[Slow(HEAD + b"\r\n{", drips=True, cut_within_s=BODY_S, stays_s=IDLE_S)] * DRIPPING,
)


async def seconds_until_cut(address: tuple[str, int], slow: Slow) -> float:
    """Be a slow client until the server has had enough of it."""
    loop = asyncio.get_running_loop()
    reader, writer = await asyncio.open_connection(*address)
    began = loop.time()
    try:
        writer.write(slow.beginning)
        while loop.time() - began < slow.cut_within_s + LATE_S:
            try:
                if await asyncio.wait_for(reader.read(1), 0.5) == b"":
                    break
            except TimeoutError:
                if slow.drips:
                    writer.write(b" ")
    except ConnectionError:
        pass
    finally:
        writer.close()
    return loop.time() - began


async def test_slow_clients_are_cut_and_others_are_served_meanwhile(stack: Stack) -> None:
    parts = urlsplit(stack.ingest_url)
    address = str(parts.hostname), int(parts.port or 0)
    took: list[float] = []

    async with visiting(stack) as site:
        loop = asyncio.get_running_loop()
        slow = [asyncio.create_task(seconds_until_cut(address, each)) for each in SLOW]
        while any(not each.done() for each in slow):
            began = loop.time()
            answer = await site.post("/v1/track", written(event(user=f"quick-{len(took)}")))
            took.append(loop.time() - began)
            assert answer.status_code == 200
            await asyncio.wait(slow, timeout=0.5)
        users = await site.users()

    for client, each in zip(SLOW, slow, strict=True):
        assert client.stays_s < each.result() < client.cut_within_s + LATE_S, client
    assert max(took) < 2.0
    assert len(users) == len(took)


async def test_without_kafka_it_answers_503_and_takes_the_same_request_again_afterwards(
    stack: Stack,
) -> None:
    body = written({"batch": [event(user="patient", messageId="once")]})
    async with visiting(stack) as site:
        assert (await site.post("/v1/batch", body)).status_code == 200

        stack.broker.stop()
        refused = [await site.post("/v1/batch", body) for _ in range(2)]
        stack.broker.start()
        async with asyncio.timeout(60):
            while (answer := await site.post("/v1/batch", body)).status_code == 503:  # noqa: ASYNC110  as told
                await asyncio.sleep(float(answer.headers["retry-after"]))
        users = await site.users()

    for each in refused:
        assert (each.status_code, each.json()["code"]) == (503, "unavailable")
        assert int(each.headers["retry-after"]) >= 1
    assert (answer.status_code, answer.json()["accepted"]) == (200, 1)
    assert users["patient"]["event_count"] == 1
