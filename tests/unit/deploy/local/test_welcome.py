"""What is said when everything is up."""

from pathlib import Path

import pytest

from deploy.local.plan import make_plan
from deploy.local.state import State
from deploy.local.welcome import welcome


@pytest.mark.parametrize(
    ("in_background", "how"),
    [(False, "\nCtrl-C, or `make stop`, drains and"), (True, "\n`make stop` drains and")],
)
def test_how_to_stop_it_is_said_as_it_can_be_done(
    *, in_background: bool, how: str, tmp_path: Path
) -> None:
    state = State(tmp_path / "state")
    state.prepare()

    said = welcome(make_plan(state, {}), seconds=1, in_background=in_background)

    assert how in said
    assert ("Ctrl-C" in said) is not in_background
