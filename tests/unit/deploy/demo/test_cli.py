"""What the demo's command line takes and refuses."""

import pytest

from deploy.demo.cli import main


@pytest.mark.parametrize(
    "words",
    [
        ["--users", "0"],
        ["--months", "-1"],
        ["--rate", "0"],
        ["--rate", "nan"],
        ["--data", "x"],
        ["--sample"],
    ],
)
def test_numbers_that_make_no_sense_are_refused_before_anything_starts(
    words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(words)

    assert stopped.value.code == 2
    assert words[0] in capsys.readouterr().err
