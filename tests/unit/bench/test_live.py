"""How the benchmark tells that a live event was committed, and what its command line asks for."""

from collections import deque

import pytest

from tests.bench.segmenter.__main__ import plan_of
from tests.bench.segmenter.catalog import Part
from tests.bench.segmenter.live import committed


def test_an_event_is_committed_once_its_lane_has_gone_past_it() -> None:
    underway = {0: deque([(5, 1.0), (6, 1.5), (7, 2.0)]), 1: deque([(0, 1.0)])}

    seen = list(committed(underway, {0: 7}, 3.0))

    assert seen == [(1.0, 2_000.0), (1.5, 1_500.0)]
    assert underway == {0: deque([(7, 2.0)]), 1: deque([(0, 1.0)])}


def test_an_event_is_counted_once() -> None:
    underway = {0: deque([(0, 1.0)])}

    assert len(list(committed(underway, {0: 1}, 2.0))) == 1
    assert list(committed(underway, {0: 1}, 3.0)) == []


def test_everything_is_measured_three_times_where_nothing_is_said() -> None:
    plan, path = plan_of([])

    assert plan.parts == frozenset(Part)
    assert (plan.repeats, path.name) == (3, "segmenter.json")


def test_only_the_parts_that_are_named_are_measured() -> None:
    plan, _ = plan_of(["--only", "core,known", "--quick", "--events", "5000"])

    assert plan.parts == {Part.CORE, Part.KNOWN}
    assert (plan.repeats, plan.events) == (2, 5_000)


def test_a_part_that_there_is_not_is_refused_with_those_that_there_are(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit):
        plan_of(["--only", "core,speed"])

    assert "'core,speed' names other parts than core, two, bytewax" in capsys.readouterr().err
