"""`ebbtide segmenter status`: what it shows of an answer, and with which status it ends."""

import json
import signal
import threading
from typing import Any

import pytest

from tests.integration.cli.kit import Answer, Server, Shell

OWNER = "segmenter-a"


def partition(number: int, **given: Any) -> dict[str, Any]:
    return {
        "partition": number,
        "owner": OWNER,
        "epoch": 4,
        "next_offset": 1_840,
        "end_offset": 1_843,
        "lag": {"seconds": 0.25, "events": 3},
        "watermark": "2026-04-20T12:00:00.750000Z",
        "folded_at": "2026-04-20T12:00:00.900000Z",
        "frozen_reason": None,
    } | given


def worker(name: str = OWNER, **given: Any) -> dict[str, Any]:
    return {"worker": name, "alive": True, "leaving": False, "partitions": 1} | given


def answer(*partitions: dict[str, Any], workers: list[dict[str, Any]] | None = None) -> Answer:
    body = {
        "as_of": "2026-04-20T12:00:00.750000Z",
        "lag": {"seconds": 0.25, "events": 1_003},
        "workers": [worker()] if workers is None else workers,
        "partitions": list(partitions),
    }
    return 200, body, {}


def test_a_partition_is_shown_with_all_that_is_known_of_it(shell: Shell, ingest: Server) -> None:
    ingest.always = answer(partition(0))

    status, printed, _ = shell.run("segmenter", "status")

    assert status == 0
    (row,) = [line for line in printed.splitlines() if OWNER in line]
    cells = [cell.strip() for cell in row.strip("│ ").split("│")]
    watermark = "2026-04-20T12:00:00.750000Z"
    assert cells == ["0", OWNER, "4", "1,840", "3", watermark, "0.2 s", "-"]
    assert "1,003" in printed
    assert "1 worker alive; 1 partitions, all folded up to 2026-04-20T12:00:00.750000Z" in printed
    assert ingest.headers[0]["authorization"].startswith("Bearer ")


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (answer(partition(0), partition(1, frozen_reason="made anew")), "made anew"),
        (answer(partition(0, owner=None)), "-"),
        (answer(partition(0), workers=[worker(alive=False)]), "segmenter-a (dead)"),
        (answer(partition(0), workers=[]), "0 workers alive"),
        (answer(), "0 partitions"),
        (
            answer(partition(0, watermark=None, owner=None, lag={"seconds": None, "events": None})),
            "-",
        ),
    ],
)
def test_where_something_stands_still_the_status_is_1(
    shell: Shell, ingest: Server, given: Answer, words: str
) -> None:
    ingest.always = given

    status, printed, _ = shell.run("segmenter", "status")

    assert (status, words in printed) == (1, True), printed


def test_the_dead_and_the_leaving_are_counted_apart(shell: Shell, ingest: Server) -> None:
    others = [worker("b", leaving=True), worker("c", alive=False)]
    ingest.always = answer(partition(0), workers=[worker(), *others])

    _, printed, _ = shell.run("segmenter", "status")

    assert "2 workers alive, 1 of them leaving, 1 died within the hour" in printed


def test_json_is_the_api_s_answer_on_one_line(shell: Shell, ingest: Server) -> None:
    ingest.always = answer(partition(0))

    status, printed, _ = shell.run("segmenter", "status", "--json")

    assert (status, json.loads(printed), printed.count("\n")) == (0, ingest.always[1], 1)


def test_markup_in_a_reason_is_shown_as_it_is(shell: Shell, ingest: Server) -> None:
    ingest.always = answer(partition(0, frozen_reason="[red]gone[/red]"))

    assert "[red]gone[/red]" in shell.run("segmenter", "status")[1]


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ((401, {"code": "invalid_api_key"}, {}), "does not know the key"),
        ((503, {"code": "unavailable"}, {}), "answers 503"),
        ((404, "Not Found", {}), "answers 404: Not Found"),
        ((200, "<html>", {}), "answers 200: <html>"),
        ((200, {"total": 1}, {}), "answers 200"),
    ],
)
def test_an_api_that_gives_no_answer_is_status_3(
    shell: Shell, ingest: Server, given: Answer, words: str
) -> None:
    ingest.always = given

    status, _, said = shell.run("segmenter", "status")

    assert (status, words in said) == (3, True), said


def test_an_api_that_is_not_there_is_status_3(shell: Shell, ingest: Server) -> None:
    status, _, said = shell.run("segmenter", "status", "--url", "http://127.0.0.1:1")

    assert (status, "http://127.0.0.1:1 does not answer" in said) == (3, True)
    assert ingest.bodies == []


def test_watching_goes_on_while_the_api_is_away_and_ends_with_ctrl_c(
    shell: Shell, ingest: Server
) -> None:
    seen = threading.Event()
    ingest.always = answer(partition(0))
    ingest.script += [answer(partition(0)), (503, "away", {})]
    ingest.before_answer = lambda number: seen.set() if number == 5 else None

    process = shell.begin("segmenter", "status", "--json", "--watch", "--every", "0.1")
    assert seen.wait(30)
    process.send_signal(signal.SIGINT)
    printed, said = process.communicate(timeout=30)

    assert process.returncode == 0, said
    assert len(printed.splitlines()) >= 3
    assert said.count("answers 503: away") == 1
    assert "Traceback" not in said
