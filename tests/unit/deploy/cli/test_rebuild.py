"""What `ebbtide rebuild` starts, and the words in which it tells what that found."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from deploy.cli.app import app
from deploy.cli.exits import Failed
from deploy.cli.rebuilding.program import environment
from deploy.cli.rebuilding.show import Summary, sentence, stop_of, summary_of

DSN = "postgresql://ebbtide_segmenter:secret@127.0.0.1:1/ebbtide"
END = {
    "users": 1200,
    "events": 34000,
    "partly": 40,
    "skipped": 3,
    "users_differing": 25,
    "marks_differing": 0,
    "funnels_left_out": [],
    "differences": {"retention": 2, "user": 30},
}


def test_the_address_that_is_named_is_the_one_that_is_rebuilt() -> None:
    given = environment({"EBBTIDE_POSTGRES_DSN": DSN, "PATH": "/bin"})

    assert (given["EBBTIDE_POSTGRES_DSN"], given["PATH"]) == (DSN, "/bin")


def test_an_address_in_a_file_is_left_to_the_program(tmp_path: Path) -> None:
    given = environment({"EBBTIDE_POSTGRES_DSN_FILE": str(tmp_path / "dsn")})

    assert "EBBTIDE_POSTGRES_DSN" not in given


def test_where_nothing_is_named_and_nothing_runs_the_command_says_so(tmp_path: Path) -> None:
    with pytest.raises(Failed, match="no database is named by EBBTIDE_POSTGRES_DSN"):
        environment({"EBBTIDE_LOCAL_DIR": str(tmp_path)})


@pytest.mark.parametrize(
    ("said", "words"),
    [
        (
            {"kind": "user", "user_id": "ada", "field": "event_count", "stored": 3, "rebuilt": 4},
            "user ada, event_count: 3 is stored, 4 by the log",
        ),
        (
            {
                "kind": "user",
                "user_id": "ada",
                "field": "days",
                "stored": [],
                "rebuilt": ["2026-01-02", "2026-01-03"],
            },
            "user ada, days: nothing is stored, 2026-01-02, 2026-01-03 by the log",
        ),
        (
            {"kind": "user", "user_id": "ada", "field": "row", "stored": "a user", "rebuilt": None},
            "user ada, row: a user is stored, nothing by the log",
        ),
        (
            {
                "kind": "transition",
                "user_id": "ada",
                "what": "missing",
                "at": "2026-01-01T00:00:00+00:00",
                "before": None,
                "after": "new",
            },
            "user ada: the transition from nothing to new at 2026-01-01T00:00:00+00:00 is missing",
        ),
        (
            {
                "kind": "retention",
                "cell": {"period": "day", "dimension": "all", "cohort": "2026-01-01", "value": ""},
                "field": "users",
                "stored": 5,
                "rebuilt": 4,
            },
            "retention of day all 2026-01-01, users: 5 is stored, 4 by the log",
        ),
        (
            {
                "kind": "funnel_users",
                "funnel_id": 3,
                "user_id": "ada",
                "field": "marks",
                "stored": [],
                "rebuilt": ["2026-01-02T00:00:00+00:00 step 1+2"],
            },
            "user ada in funnel 3, marks: nothing is stored, 2026-01-02T00:00:00+00:00 step 1+2 by the log",
        ),
    ],
)
def test_each_difference_is_a_sentence(said: dict[str, object], words: str) -> None:
    assert sentence({"type": "difference", **said}) == words


def test_long_values_are_cut_and_their_length_is_told() -> None:
    marks = [f"2026-01-02T00:00:{number % 60:02}+00:00 step 1" for number in range(20_000)]
    said = {"kind": "funnel_users", "funnel_id": 3, "user_id": "ada", "field": "marks"}
    both = {"stored": marks, "rebuilt": "x" * 46_783}

    words = sentence({"type": "difference", **said, **both})

    assert words.startswith("user ada in funnel 3, marks: 2026-01-02T00:00:00+00:00 step 1, 2026-")
    assert "… (20,000 values) is stored, xxx" in words
    assert words.endswith("x… (46,783 characters) by the log")
    assert len(words) < 2 * 200 + 120


@pytest.mark.parametrize("value", ["x" * 200, ["y" * 99, "z" * 99]])
def test_what_is_short_enough_is_shown_whole(value: object) -> None:
    said = {"type": "difference", "kind": "user", "user_id": "ada", "field": "f"}

    words = sentence(said | {"stored": value, "rebuilt": value})

    assert "…" not in words


def test_whose_marks_alone_are_left_is_told_as_that() -> None:
    left = {"type": "left", "user_id": "ada", "funnel_ids": [7, 9]}

    assert (
        sentence(left)
        == "user ada: the marks of funnel 7, 9 are left, for their steps are too many"
    )


def test_the_summary_shows_the_first_and_counts_the_rest() -> None:
    first = [{"type": "left", "user_id": "ada"}]

    parts = [str(each) for each in summary_of(Summary(swap=False, end=dict(END), first=first))]

    assert parts[:2] == [
        "1,200 users and 34,000 events were replayed.",
        "Of 40 users the log lost the beginning, and the rest was compared; 3 users can't be compared.",
    ]
    assert parts[3].startswith("user ada: left")
    assert parts[-1] == "… and 31 more; --report FILE writes all of them."


def test_a_swap_says_how_many_were_mended_and_are_left() -> None:
    ended = Summary(swap=True, end=END | {"left": 1, "marks_left": 0})

    assert list(summary_of(ended))[-1] == "24 users and 2 counts were mended, 1 are left."


def test_marks_that_were_mended_and_funnels_that_were_left_out_are_told() -> None:
    of_funnels = {"left": 0, "marks_left": 1, "marks_differing": 4, "funnels_left_out": [7, 9]}

    said = list(summary_of(Summary(swap=True, end=END | of_funnels)))

    assert said[2] == "Left out, for they are still counted from the log: funnels 7, 9."
    assert said[-1] == "25 users, 3 users' marks and 2 counts were mended, 1 are left."


@pytest.mark.parametrize(
    ("stopped", "words"),
    [
        ({"users": 1200, "marks": 0}, "stopped: 1,200 users were mended; start it again"),
        ({"users": 2, "marks": 3}, "stopped: 2 users and 3 users' marks were mended; start it"),
        ({}, "stopped at once: what was mended stays so; start it again for the rest"),
    ],
)
def test_a_swap_that_is_stopped_says_what_it_has_mended(
    stopped: dict[str, int], words: str
) -> None:
    assert stop_of(Summary(swap=True, stopped=dict(stopped))).startswith(words)


def test_a_comparison_that_is_stopped_tells_no_numbers_of_mended() -> None:
    assert stop_of(Summary(swap=False, stopped={"users": 0, "marks": 0})) == (
        "stopped before everything was compared; start it again to know what differs"
    )


@pytest.mark.parametrize(
    ("end", "first", "nobody"),
    [
        ({"users": 0, "skipped": 0}, [], True),
        ({"users": 1, "skipped": 0}, [], False),
        ({"users": 0, "skipped": 1}, [], False),
        ({"users": 0, "skipped": 0}, [{"type": "difference"}], False),
        ({}, [], False),
    ],
)
def test_users_of_whom_nothing_is_known_are_noticed(
    end: dict[str, int], first: list[dict[str, str]], *, nobody: bool
) -> None:
    assert Summary(swap=False, end=dict(end), first=first).found_nobody() is nobody


def test_nothing_to_tell_is_told() -> None:
    ended = Summary(swap=True, end=END | {"differences": {}, "left": 0, "marks_left": 0})

    assert list(summary_of(ended))[-1] == "What is stored is what the event log says."


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["--zone", "UTC"], "--zone goes with --swap, and not with --user"),
        (["--zone", "UTC", "--swap", "--user", "u"], "--zone goes with --swap"),
        (["--zone", "Mars", "--swap"], "--zone: 'Mars' is not a time zone of the tz database"),
        (["--user", "ada", "--user", "a\udcff"], "--user 'a\\udcff': an id is UTF-8, and this is"),
        (["--rate", "0"], "--rate 0.0: it must be above 0"),
        (["--rate", "nan"], "--rate nan: it must be above 0"),
        (["--report", "/nowhere/at/all"], "--report /nowhere/at/all: No such file or directory"),
    ],
)
def test_options_that_make_no_sense_are_refused_with_their_reason(
    words: list[str], why: str, capsys: pytest.CaptureFixture[str]
) -> None:
    ended = CliRunner().invoke(app, ["rebuild", *words])

    assert ended.exit_code == 2
    assert why in ended.output + capsys.readouterr().err


def test_a_database_that_does_not_answer_has_its_own_status(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("EBBTIDE_POSTGRES_DSN", DSN)

    ended = CliRunner().invoke(app, ["rebuild", "--json"])

    said = ended.output + capfd.readouterr().err
    assert ended.exit_code == 3
    assert "Postgres does not do what it must: ConnectionRefusedError" in said
    assert "secret" not in said
