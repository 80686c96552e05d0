"""Events are sent until ingest says that it has them all, and never where it will not have them."""

import json
from collections.abc import Callable, Iterator

import httpx
import pytest
import stamina

from deploy.demo.sender import BATCH, NotNow, Refused, Sender

ATTEMPTS = 4
TAKEN = httpx.Response(200, json={"ok": True, "errors": []})
BUSY = httpx.Response(503, text="later", headers={"retry-after": "1"})

Answer = httpx.Response | httpx.TransportError


@pytest.fixture(autouse=True)
def _without_waits() -> Iterator[None]:
    with stamina.set_testing(testing=True, attempts=ATTEMPTS):
        yield


class Ingest:
    """Answers as it is told, then takes everything."""

    def __init__(self, *answers: Answer) -> None:
        self.answers = list(answers)
        self.batches: list[list[str]] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        body = json.loads(request.content)
        self.batches.append([event["messageId"] for event in body["batch"]])
        answer = self.answers.pop(0) if self.answers else TAKEN
        if isinstance(answer, httpx.TransportError):
            raise answer
        return answer


def sender(ingest: Callable[[httpx.Request], httpx.Response]) -> Sender:
    return Sender("http://ingest", "key", transport=httpx.MockTransport(ingest))


def events(number: int) -> list[dict[str, object]]:
    return [{"messageId": f"m-{each}"} for each in range(number)]


def test_a_long_list_goes_out_in_batches_in_order() -> None:
    ingest = Ingest()

    with sender(ingest) as client:
        client.send(events(BATCH * 2 + 1))

    assert [len(batch) for batch in ingest.batches] == [BATCH, BATCH, 1]
    assert [each for batch in ingest.batches for each in batch] == [
        f"m-{each}" for each in range(BATCH * 2 + 1)
    ]


@pytest.mark.parametrize("trouble", [BUSY, httpx.ConnectError("away"), httpx.ReadTimeout("slow")])
def test_the_same_batch_is_sent_again_until_it_is_taken(trouble: Answer) -> None:
    ingest = Ingest(trouble, trouble)

    with sender(ingest) as client:
        client.send(events(2))

    assert ingest.batches == [["m-0", "m-1"]] * 3


def test_it_gives_up_in_the_end() -> None:
    ingest = Ingest(*[BUSY] * ATTEMPTS)

    with sender(ingest) as client, pytest.raises(NotNow):
        client.send(events(1))


@pytest.mark.parametrize(
    "answer",
    [
        httpx.Response(401, json={"code": "invalid_write_key"}),
        httpx.Response(200, json={"ok": False, "errors": [{"code": "junk_id"}]}),
    ],
)
def test_what_is_refused_is_not_sent_again(answer: httpx.Response) -> None:
    ingest = Ingest(answer)

    with sender(ingest) as client, pytest.raises(Refused, match=r"invalid_write_key|junk_id"):
        client.send(events(1))

    assert len(ingest.batches) == 1
