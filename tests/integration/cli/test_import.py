"""`ebbtide import` as it is typed: what it prints, what it leaves behind, and how it ends."""

import json
import signal
import threading

import pytest

from tests.integration.cli.kit import KEY, Server, Shell

HEADER = "user_id,timestamp,name\n"
SOON = (
    "timestamp: 'soon' is no ISO 8601 time; --timestamp-format takes "
    "seconds, milliseconds or a pattern such as %d.%m.%Y"
)
GOOD = HEADER + "ada,2024-01-01,Bought\nbob,2024-01-02,Bought\n"
MIXED = HEADER + "ada,2024-01-01,Bought\n,2024-01-02,Bought\nbob,soon,Bought\n"


def held(ingest: Server) -> tuple[threading.Event, threading.Event]:
    """Let the first request wait; return what says that it came, and what answers it."""
    asked, go_on = threading.Event(), threading.Event()

    def hold(number: int) -> None:
        if number == 1:
            asked.set()
            go_on.wait(30)

    ingest.before_answer = hold
    return asked, go_on


def test_what_is_whole_is_sent_as_history_and_the_status_is_0(shell: Shell, ingest: Server) -> None:
    shell.write("a.csv", GOOD)

    status, printed, _ = shell.run("import", "a.csv")

    assert status == 0
    assert printed.startswith("a.csv: 2 events imported, ")
    assert [event["user_id"] for event in ingest.events()] == ["ada", "bob"]
    assert ingest.bodies[0]["historical"] is True
    assert not (shell.directory / "a.csv.rejected.ndjson").exists()


def test_rejected_rows_lie_beside_the_file_and_the_status_is_1(
    shell: Shell, ingest: Server
) -> None:
    refusal = {"index": 0, "code": "junk_id", "message": "user_id is junk"}
    ingest.script.append((200, {"errors": [refusal]}, {}))
    shell.write("a.csv", MIXED)

    status, printed, _ = shell.run("import", "a.csv")

    assert status == 1
    assert "a.csv: 0 events imported, 3 rows rejected (a.csv.rejected.ndjson)" in printed
    lines = (shell.directory / "a.csv.rejected.ndjson").read_text().splitlines()
    assert [json.loads(line) for line in lines] == [
        {
            "file": "a.csv",
            "line": line,
            "code": code,
            "reason": reason,
            "row": row,
        }
        for line, code, reason, row in [
            (2, "junk_id", "user_id is junk", "ada,2024-01-01,Bought"),
            (
                3,
                "missing_field",
                "user_id is missing, and there is no anonymous_id",
                ",2024-01-02,Bought",
            ),
            (
                4,
                "invalid_timestamp",
                SOON,
                "bob,soon,Bought",
            ),
        ]
    ]


def test_what_was_imported_is_not_sent_again_until_that_is_asked_for(
    shell: Shell, ingest: Server
) -> None:
    shell.write("a.csv", MIXED)

    statuses = [shell.run("import", "a.csv")[0] for _ in range(2)]
    sent = len(ingest.events())
    status, printed, _ = shell.run("import", "a.csv", "--restart")

    assert (statuses, sent) == ([1, 1], 1)
    assert (status, len(ingest.events())) == (1, 2)
    assert "1 events imported, 2 rows rejected" in printed
    assert len((shell.directory / "a.csv.rejected.ndjson").read_text().splitlines()) == 2


def test_a_dry_run_needs_no_server_sends_nothing_and_leaves_nothing(shell: Shell) -> None:
    shell.write("a.csv", MIXED)

    status, printed, _ = shell.run("import", "a.csv", "--dry-run")

    assert status == 1
    assert "a.csv, line 4: timestamp: 'soon' is no ISO 8601 time" in printed
    assert "1 rows would be imported, 2 rejected; nothing was sent" in printed
    assert [path.name for path in shell.directory.iterdir()] == ["a.csv"]
    assert shell.run("import", "a.csv", "--dry-run", "--rows", "1")[0] == 0


def test_a_server_that_has_no_room_now_is_asked_again(shell: Shell, ingest: Server) -> None:
    ingest.script += [(503, {"message": "later"}, {"retry-after": "0"})] * 2
    shell.write("a.csv", GOOD)

    status, _, said = shell.run("import", "a.csv")

    assert status == 0
    assert said.splitlines() == ["trying again: 503: later"]
    assert len(ingest.bodies) == 3


def test_a_server_that_cannot_be_reached_is_status_3_and_what_is_done_is_kept(
    shell: Shell, ingest: Server
) -> None:
    shell.write("a.csv", GOOD)
    words = ("import", "a.csv", "--batch", "1", "--in-flight", "1", "--patience", "0")
    ingest.script += [(200, {"errors": []}, {}), (503, {"message": "later"}, {})]

    status, _, said = shell.run(*words)
    assert status == 3
    assert "does not take the events: 503: later" in said
    assert "the same command goes on from there" in said

    status, printed, said = shell.run(*words)
    assert status == 0
    assert "going on at line 3, 1 events imported" in said
    assert "2 events imported" in printed
    assert [event["user_id"] for event in ingest.events()] == ["ada", "bob", "bob"]


def test_a_place_where_nobody_listens_is_status_3(shell: Shell, ingest: Server) -> None:
    shell.write("a.csv", GOOD)

    status, _, said = shell.run("import", "a.csv", "--url", "http://127.0.0.1:1", "--patience", "0")

    assert (status, "http://127.0.0.1:1 does not take the events" in said) == (3, True)
    assert ingest.bodies == []


def test_a_key_that_is_not_known_is_status_3(shell: Shell, ingest: Server) -> None:
    ingest.script.append((401, {"message": "the write key is missing or not known"}, {}))
    shell.write("a.csv", GOOD)

    status, _, said = shell.run("import", "a.csv")

    assert (status, "does not know the write key" in said) == (3, True)


@pytest.mark.parametrize(("how", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_lets_what_is_on_its_way_end_and_the_rest_is_sent_later(
    shell: Shell, ingest: Server, how: signal.Signals, status: int
) -> None:
    shell.write("a.csv", GOOD)
    asked, go_on = held(ingest)
    words = ("import", "a.csv", "--batch", "1", "--in-flight", "1")
    process = shell.begin(*words)
    assert asked.wait(30)
    process.send_signal(how)
    go_on.set()
    printed, said = process.communicate(timeout=30)

    assert process.returncode == status, said
    assert "a.csv: stopped at line 3, 1 events imported; the same command goes on" in printed
    assert shell.run(*words)[0] == 0
    assert [event["user_id"] for event in ingest.events()] == ["ada", "bob"]


def test_a_second_signal_ends_it_at_once(shell: Shell, ingest: Server) -> None:
    shell.write("a.csv", GOOD)
    asked, go_on = held(ingest)
    process = shell.begin("import", "a.csv")
    assert asked.wait(30)

    process.send_signal(signal.SIGINT)
    assert process.stderr is not None
    assert "a second signal ends it at once" in process.stderr.readline()
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=30)
    go_on.set()

    assert (process.returncode, said) == (130, "")


def test_two_imports_of_the_same_do_not_run_at_once(shell: Shell, ingest: Server) -> None:
    shell.write("a.csv", GOOD)
    asked, go_on = held(ingest)
    first = shell.begin("import", "a.csv")
    assert asked.wait(30)

    status, _, said = shell.run("import", "a.csv")
    go_on.set()
    first.communicate(timeout=30)

    assert (status, "a.csv is being imported by another process" in said) == (2, True)
    assert first.returncode == 0


def test_a_file_that_has_changed_is_noticed(shell: Shell, ingest: Server) -> None:
    shell.write("a.csv", GOOD)
    shell.run("import", "a.csv")
    shell.write("a.csv", GOOD + "cara,2024-01-03,Bought\n")

    status, _, said = shell.run("import", "a.csv")
    assert status == 2
    assert "a.csv has changed since 2 rows of it were imported; --restart" in said

    assert shell.run("import", "a.csv", "--restart")[0] == 0
    ids = [event["id"] for event in ingest.events()]
    assert (len(ids), len(set(ids))) == (5, 3)


def test_too_many_rejects_stop_it(shell: Shell, ingest: Server) -> None:
    shell.write("a.csv", MIXED)

    status, _, said = shell.run("import", "a.csv", "--max-rejects", "1")

    assert (status, "more than 1 rows were rejected" in said) == (1, True)
    assert shell.run("import", "a.csv", "--max-rejects", "2")[0] == 1
    assert len(ingest.events()) == 1


def test_several_files_are_imported_one_after_the_other(shell: Shell, ingest: Server) -> None:
    shell.write("a.csv", GOOD)
    shell.write("b.ndjson", '{"user_id": "cara", "timestamp": "2024-01-01", "name": "x"}\n[]\n')

    status, printed, _ = shell.run("import", "a.csv", "b.ndjson")

    assert status == 1
    assert [line.partition(":")[0] for line in printed.splitlines()] == ["a.csv", "b.ndjson"]
    assert [event["user_id"] for event in ingest.events()] == ["ada", "bob", "cara"]


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["a.csv", "--map", "user_id=who"], "there is no column 'who' to take user_id from; there"),
        (["a.csv", "--map", "who"], "it must be FIELD=…"),
        (["a.csv", "--set", "colour=red"], "'colour' is no field of an event"),
        (["a.csv", "--zone", "Europe/Berln"], "did you mean Europe/Berlin?"),
        (["a.csv", "--timestamp-format", "epoch"], "--timestamp-format epoch"),
        (["a.csv", "--delimiter", "||"], "must be one character"),
        (["a.csv", "--format", "xml"], "must be one of: csv, tsv, ndjson, parquet"),
        (["a.csv", "--rate", "0"], "--rate 0.0: it must be above 0"),
        (["a.csv", "--rate", "nan"], "it must be above 0"),
        (["a.csv", "--rows", "3"], "--rows goes with --dry-run only"),
        (["a.csv", "b.csv", "--rejects", "r"], "--rejects goes with one file"),
        (["a.csv", "--rejects", "a.csv"], "is no file of rejects: name another"),
        (["a.csv", "--rejects", "no/such/place"], "can't be written"),
        (["a.csv", "--state-dir", "a.csv"], "name another directory by --state-dir"),
        (["missing.csv"], "missing.csv: there is no such file"),
        (["."], ".: is no file"),
        (["a.csv", "--url", "ingest:8100"], "is no address such as"),
        (["a.csv", "--batch", "0"], "--batch"),
    ],
)
def test_what_makes_no_sense_is_refused_before_anything_is_sent(
    shell: Shell, ingest: Server, words: list[str], reason: str
) -> None:
    shell.write("a.csv", GOOD)
    shell.write("b.csv", GOOD)

    status, _, said = shell.run("import", *words)

    assert (status, reason in said) == (2, True), said
    assert (ingest.bodies, (shell.directory / "a.csv").read_text()) == ([], GOOD)


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({}, "no system is named by EBBTIDE_INGEST_URL, and none runs on this machine"),
        ({"EBBTIDE_WRITE_KEY": KEY}, "there is a key, and no address"),
        ({"EBBTIDE_INGEST_URL": "http://127.0.0.1:1"}, "there is an address, and no key to it"),
    ],
)
def test_without_a_server_and_its_key_it_does_not_begin(
    shell: Shell, given: dict[str, str], reason: str
) -> None:
    shell.environ |= given
    shell.write("a.csv", GOOD)

    status, _, said = shell.run("import", "a.csv")

    assert (status, reason in said) == (2, True), said


def test_the_future_begins_where_product_time_is(shell: Shell, ingest: Server) -> None:
    drive = {"product": "2024-01-01T12:00:00Z", "system": "2026-01-01T00:00:00Z", "rate": 0}
    shell.environ["EBBTIDE_CLOCK_FILE"] = str(shell.write("clock.json", json.dumps(drive)))
    shell.write("a.csv", GOOD)

    assert shell.run("import", "a.csv")[0] == 1
    assert [event["user_id"] for event in ingest.events()] == ["ada"]
