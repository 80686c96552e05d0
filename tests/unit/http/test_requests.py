"""Requests are counted by route, and their failures logged without what they held."""

import asyncio
import logging
from typing import Any

import httpx
import pytest
from prometheus_client import CollectorRegistry
from structlog.testing import capture_logs

from shared.http.requests import ROUTE, App, Receive, Scope, Send, measured
from shared.observability import metrics as m
from shared.observability.metrics import Metrics
from tests.unit.http.served import reply, served

SECRET = "a-key-that-nobody-may-read"
BROKEN = (
    b"POST /v1/track?write_key=" + SECRET.encode() + b" HTTP/1.1\r\nHost: here\r\n"
    b"Authorization: Bearer " + SECRET.encode() + b"\r\nContent-Length: 0\r\n\r\n"
)


class Counted:
    """An application behind the counter, and what was counted."""

    def __init__(self, app: App) -> None:
        self._registry = CollectorRegistry()
        self.app = measured(app, service="test", metrics=Metrics(self._registry))

    async def ask(self, path: str = "/", *, method: str = "GET") -> httpx.Response:
        transport = httpx.ASGITransport(app=self.app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://here") as client:
            return await client.request(method, path)

    def requests(self) -> dict[tuple[str, str, str], float]:
        """Return the counts by route, method and status."""
        return {
            (sample.labels["route"], sample.labels["method"], sample.labels["status"]): sample.value
            for family in self._registry.collect()
            for sample in family.samples
            if sample.name == m.HTTP_REQUESTS.name
        }


def answering(status: int = 200, *, route: str | None = None) -> App:
    async def app(scope: Scope, _receive: Receive, send: Send) -> None:
        if route is not None:
            scope[ROUTE] = route
        await reply(send, b"{}", status=status)

    return app


async def broken(_scope: Scope, _receive: Receive, _send: Send) -> None:
    raise RuntimeError("broken")


async def test_a_request_is_counted_by_the_route_that_took_it() -> None:
    counted = Counted(answering(route="/users/{user_id}"))

    for user_id in ("ann", "bob"):
        await counted.ask(f"/users/{user_id}")

    assert counted.requests() == {("/users/{user_id}", "GET", "200"): 2}


async def test_what_no_route_took_and_no_one_knows_makes_no_labels_of_its_own() -> None:
    counted = Counted(answering(404))

    for number in range(3):
        await counted.ask(f"/nowhere/{number}", method=f"VERB{number}")

    assert counted.requests() == {("unmatched", "other", "404"): 3}


async def test_every_answer_forbids_to_guess_its_type() -> None:
    answer = await Counted(answering()).ask()

    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["referrer-policy"] == "no-referrer"


async def test_a_client_who_went_away_is_counted_as_such() -> None:
    async def nobody_listens(_scope: Scope, _receive: Receive, _send: Send) -> None:
        """Answer nothing."""

    counted = Counted(nobody_listens)

    with pytest.raises(AssertionError):  # the client's: there was no answer
        await counted.ask()

    assert counted.requests() == {("unmatched", "GET", "499"): 1}


async def test_an_application_that_breaks_has_an_answer_all_the_same() -> None:
    counted = Counted(broken)

    answer = await counted.ask()

    assert answer.status_code == 500
    assert answer.headers["content-type"] == "application/json"
    assert answer.json()["code"] == "internal_error"
    assert "broken" not in answer.text
    assert counted.requests() == {("unmatched", "GET", "500"): 1}


async def test_an_answer_that_breaks_off_is_not_answered_twice() -> None:
    async def breaks_off(_scope: Scope, _receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        raise RuntimeError("broken")

    counted = Counted(breaks_off)
    said: list[Any] = []

    async def send(message: Any) -> None:
        said.append(message)

    async def receive() -> Any:
        return {"type": "http.request"}

    with pytest.raises(RuntimeError):
        await counted.app({"type": "http", "method": "GET"}, receive, send)

    assert [message["type"] for message in said] == ["http.response.start"]


async def test_a_request_that_is_cancelled_stays_cancelled() -> None:
    async def waits(_scope: Scope, _receive: Receive, _send: Send) -> None:
        await asyncio.Event().wait()

    counted = Counted(waits)
    asking = asyncio.ensure_future(counted.app({"type": "http", "method": "GET"}, _never, _never))
    await asyncio.wait({asking}, timeout=0)
    asking.cancel()
    await asyncio.wait({asking})

    assert asking.cancelled()


async def _never(*_words: Any) -> Any:
    raise AssertionError("nothing is said")


@pytest.mark.parametrize("status", [500, 503])
async def test_a_failure_is_logged_with_its_route(status: int) -> None:
    with capture_logs() as logs:
        await Counted(answering(status, route="/v1/track")).ask(f"/v1/track?key={SECRET}")

    assert [(each["event"], each["route"], each["status"]) for each in logs] == [
        ("request_failed", "/v1/track", status)
    ]


@pytest.mark.parametrize("status", [200, 401, 404])
async def test_what_is_no_failure_of_ours_is_not_logged(status: int) -> None:
    with capture_logs() as logs:
        await Counted(answering(status)).ask()

    assert logs == []


async def test_no_log_holds_what_a_request_held(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)

    with capture_logs() as logs:
        async with served(broken) as server:
            peer = await server.peer()
            peer.send(BROKEN)
            status, _, _ = await peer.answer()

    assert status == 500
    assert "request_failed" in str(logs)
    assert "Traceback" in caplog.text
    assert SECRET not in str(logs) + caplog.text
