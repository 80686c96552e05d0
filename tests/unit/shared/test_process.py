import signal

import pytest

from shared.errors import InvalidConfiguration
from shared.http.probes import Health
from shared.process import Parts, run

LOOK_S = 0.001


class Told:
    """A part that notes what it is told to do."""

    def __init__(self, name: str, notes: list[str], *, failing: Exception | None = None) -> None:
        self._name = name
        self._notes = notes
        self._failing = failing

    async def start(self) -> None:
        self._notes.append(f"start {self._name}")
        if self._failing is not None:
            raise self._failing

    async def stop(self) -> None:
        self._notes.append(f"stop {self._name}")


class Looks:
    """Answers as written, `.` for live and `x` for not, and then sends the process a signal."""

    def __init__(self, answers: str) -> None:
        self._answers = list(answers)

    def __call__(self) -> Health:
        if not self._answers:
            signal.raise_signal(signal.SIGTERM)
            return Health(ok=True)
        return Health(ok=self._answers.pop(0) == ".")


def parts(notes: list[str], *, looks: str = "", failing: Exception | None = None) -> Parts:
    return Parts([Told("a", notes), Told("b", notes, failing=failing)], live=Looks(looks))


async def test_a_signal_stops_the_parts_in_the_opposite_order_with_status_0() -> None:
    notes: list[str] = []

    status = await run(parts(notes), look_s=LOOK_S)

    assert status == 0
    assert notes == ["start a", "start b", "stop b", "stop a"]


async def test_parts_that_stay_not_live_are_stopped_in_order_with_status_1() -> None:
    notes: list[str] = []

    status = await run(parts(notes, looks="..xxx"), look_s=LOOK_S)

    assert status == 1
    assert notes == ["start a", "start b", "stop b", "stop a"]


async def test_parts_that_recover_within_two_looks_go_on() -> None:
    status = await run(parts([], looks="xx.xx."), look_s=LOOK_S)

    assert status == 0


async def test_a_part_that_cannot_start_ends_the_process_with_status_1() -> None:
    notes: list[str] = []

    status = await run(parts(notes, failing=OSError("address taken")), look_s=LOOK_S)

    assert status == 1
    assert notes == ["start a", "start b", "stop b", "stop a"]


async def test_a_part_that_refuses_a_setting_ends_the_process_with_status_2_for_it_is_no_use_again(
    capsys: pytest.CaptureFixture[str],
) -> None:
    notes: list[str] = []
    refusal = InvalidConfiguration("EBBTIDE_PRODUCT_ZONE: is UTC, but …")

    status = await run(parts(notes, failing=refusal), look_s=LOOK_S)

    assert status == 2
    assert notes == ["start a", "start b", "stop b", "stop a"]
    said = capsys.readouterr().out
    assert "EBBTIDE_PRODUCT_ZONE: is UTC, but" in said
    assert "Traceback" not in said
