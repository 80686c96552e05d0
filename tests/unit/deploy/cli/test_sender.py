"""Events are sent until ingest says what became of each, and no request is without an end."""

import json
from collections.abc import Callable, Iterator
from datetime import timedelta

import httpx
import pytest
import stamina

from deploy.cli.exits import NoServer
from deploy.cli.importing.sender import LONGEST_REST_S, Pace, Sender, _rest
from deploy.cli.places import Place

ATTEMPTS = 4
TAKEN = httpx.Response(200, json={"ok": True, "errors": []})
KEY = "the-write-key"

Answer = httpx.Response | httpx.TransportError


@pytest.fixture(autouse=True)
def _without_waits() -> Iterator[None]:
    with stamina.set_testing(testing=True, attempts=ATTEMPTS):
        yield


class Ingest:
    """Answers as it is told, then takes everything; refuses bodies of more bytes than it may."""

    def __init__(self, *answers: Answer, most_bytes: int = 1_000_000) -> None:
        self.answers = list(answers)
        self.bodies: list[bytes] = []
        self.keys: set[str] = set()
        self._most_bytes = most_bytes

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.bodies.append(request.content)
        self.keys.add(request.headers["authorization"])
        if len(request.content) > self._most_bytes:
            return httpx.Response(413, text="too large")
        answer = self.answers.pop(0) if self.answers else TAKEN
        if isinstance(answer, httpx.TransportError):
            raise answer
        return answer

    def numbers(self) -> list[list[int]]:
        return [[each["n"] for each in json.loads(body)["events"]] for body in self.bodies]


def sender(
    ingest: Callable[[httpx.Request], httpx.Response], told: Callable[[str], None] = print
) -> Sender:
    return Sender(
        Place("http://ingest", KEY),
        patience_s=10.0,
        connections=1,
        transport=httpx.MockTransport(ingest),
        told=told,
    )


def events(number: int) -> list[bytes]:
    return [b'{"n": %d}' % each for each in range(number)]


async def test_events_go_out_as_history_under_the_key() -> None:
    ingest = Ingest()

    async with sender(ingest) as client:
        assert await client.send(events(3)) == []

    assert ingest.numbers() == [[0, 1, 2]]
    assert json.loads(ingest.bodies[0])["historical"] is True
    assert ingest.keys == {httpx.BasicAuth(KEY, "")._auth_header}


async def test_nothing_is_sent_where_there_is_nothing() -> None:
    ingest = Ingest()

    async with sender(ingest) as client:
        assert await client.send([]) == []

    assert ingest.bodies == []


@pytest.mark.parametrize(
    "trouble",
    [
        httpx.Response(503, json={"message": "later"}, headers={"retry-after": "1"}),
        httpx.Response(429, text="slower"),
        httpx.Response(502, text="<html>"),
        httpx.ConnectError("away"),
        httpx.ReadTimeout("slow"),
        httpx.RemoteProtocolError("cut"),
    ],
)
async def test_the_same_request_is_sent_again_until_it_is_taken(trouble: Answer) -> None:
    ingest, told = Ingest(trouble, trouble), list[str]()

    async with sender(ingest, told.append) as client:
        assert await client.send(events(2)) == []

    assert ingest.numbers() == [[0, 1]] * 3
    assert len(told) == 2


@pytest.mark.parametrize("trouble", [httpx.Response(503, text="full"), httpx.ConnectError("full")])
async def test_it_gives_up_in_the_end_and_says_why(trouble: Answer) -> None:
    async with sender(Ingest(*[trouble] * ATTEMPTS)) as client:
        with pytest.raises(NoServer, match=r"http://ingest does not take the events: .*full"):
            await client.send(events(1))


@pytest.mark.parametrize(
    ("given", "rest"),
    [("7", 7.0), ("0", 0.0), ("-3", 0.0), ("9999", LONGEST_REST_S), ("Fri, 27 Nov 2026", True)],
)
async def test_it_rests_as_long_as_the_server_asks_within_reason(given: str, rest: object) -> None:
    seen: list[bool | float | timedelta] = []
    trouble = httpx.Response(503, headers={"retry-after": given})

    async with sender(Ingest(trouble)) as client:
        try:
            await client._once(b"{}")
        except Exception as error:  # noqa: BLE001  whichever the hook is given
            seen.append(_rest(error))

    assert seen == [rest]


async def test_what_is_refused_is_told_by_its_place() -> None:
    answer = {"errors": [{"index": 1, "code": "junk_id", "message": "user_id is 'null'"}]}

    async with sender(Ingest(httpx.Response(200, json=answer))) as client:
        (refusal,) = await client.send(events(3))

    assert (refusal.index, refusal.code, refusal.reason) == (1, "junk_id", "user_id is 'null'")


async def test_a_request_that_is_too_large_goes_out_in_parts() -> None:
    ingest = Ingest(most_bytes=70)

    async with sender(ingest) as client:
        assert await client.send(events(7)) == []

    taken = [
        each for body, each in zip(ingest.bodies, ingest.numbers(), strict=True) if len(body) <= 70
    ]
    assert [number for part in taken for number in part] == list(range(7))


async def test_an_event_that_is_too_large_by_itself_is_refused_alone() -> None:
    ingest = Ingest(most_bytes=70)
    large = b'{"n": 1, "x": "%s"}' % (b"x" * 100)

    async with sender(ingest) as client:
        (refusal,) = await client.send([b'{"n": 0}', large, b'{"n": 2}'])

    assert (refusal.index, refusal.code) == (1, "body_too_large")


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (httpx.Response(401, json={"message": "no"}), "does not know the write key"),
        (httpx.Response(404, json={"message": "Not Found"}), "answers 404: Not Found"),
        (httpx.Response(400, text="what?"), r"answers 400: what\?"),
        (httpx.Response(302, headers={"location": "/"}), "answers 302"),
        (httpx.Response(200, text="<html>"), "is no ingest: '<html>'"),
        (httpx.Response(200, json=[]), "is no ingest"),
    ],
)
async def test_what_will_not_get_better_is_not_tried_again(
    answer: httpx.Response, words: str
) -> None:
    ingest = Ingest(answer)

    async with sender(ingest) as client:
        with pytest.raises(NoServer, match=words) as failed:
            await client.send(events(1))

    assert len(ingest.bodies) == 1
    assert KEY not in str(failed.value)


async def test_events_are_let_through_at_the_pace_that_is_asked_for() -> None:
    now, rests = 100.0, list[float]()

    async def rest(seconds: float) -> None:
        nonlocal now
        rests.append(seconds)
        now += seconds

    pace = Pace(10.0, now=lambda: now, rest=rest)
    for _ in range(3):
        await pace.let_through(5)
    now += 60.0
    await pace.let_through(5)

    assert rests == [pytest.approx(0.5)] * 2


async def test_without_a_pace_nothing_waits() -> None:
    async def rest(_: float) -> None:
        raise AssertionError

    pace = Pace(None, now=lambda: 0.0, rest=rest)
    await pace.let_through(1_000_000)
    await pace.let_through(1_000_000)
