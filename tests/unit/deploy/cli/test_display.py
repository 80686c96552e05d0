"""How an import is shown: a line that changes on a terminal, a line now and then elsewhere."""

import io

from rich.console import Console

from deploy.cli.importing.display import Speed, display_for


class Time:
    """Time passes when the test says so."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


def test_elsewhere_a_line_comes_every_ten_seconds_with_rate_and_rest() -> None:
    time, out = Time(), io.StringIO()
    with display_for(Console(file=out, width=200), "a.csv", now=time) as display:
        display.show(0.0, 0, 0)
        for passed in (9, 2, 3, 9):
            time.now += passed
            display.show((time.now - 1_000) / 46, int(time.now - 1_000) * 100, 3)

    assert out.getvalue().splitlines() == [
        "a.csv: 24%, 1,100 rows, 100/s, 3 rejected, 0:00:35 left",
        "a.csv: 50%, 2,300 rows, 100/s, 3 rejected, 0:00:23 left",
    ]


def test_on_a_terminal_a_bar_shows_rate_and_rejects() -> None:
    time, out = Time(), io.StringIO()
    console = Console(file=out, width=120, force_terminal=True)
    with display_for(console, "a.csv", now=time) as display:
        time.now += 2
        display.show(0.5, 1_000, 7)
        display.say("trying again: [503] later")

    shown = out.getvalue()
    assert "1,000 rows, 500/s, 7 rejected" in shown
    assert "50%" in shown
    assert "trying again: [503] later" in shown


def test_what_is_left_is_told_from_what_this_run_has_done() -> None:
    time = Time()
    speed = Speed(time)

    assert speed.left_s(0.6) is None  # where an earlier run stopped
    time.now += 10

    assert round(speed.left_s(0.8) or 0) == 10
