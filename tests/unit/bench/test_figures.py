"""What the benchmarks compute of what they measured."""

import json
from pathlib import Path

import pytest

from tests.bench import figures
from tests.bench.figures import Figure, percentile
from tests.bench.segmenter.catalog import CATALOG, Target, at_most
from tests.bench.segmenter.folding import Sample, between
from tests.bench.segmenter.vitals import peak_of


@pytest.mark.parametrize(("share", "expected"), [(0.0, 1), (0.5, 51), (0.99, 100), (1.0, 100)])
def test_a_percentile_is_a_value_that_was_measured(share: float, expected: float) -> None:
    assert percentile(list(range(100, 0, -1)), share) == expected


def test_a_percentile_of_one_value_is_that_value() -> None:
    assert percentile([7.0], 0.99) == 7.0


def test_the_report_says_value_unit_limit_and_ratio(tmp_path: Path) -> None:
    measured = [Figure("rate", 50.0, "events/s", 200.0, "bare"), Figure("size", 3.0, "MB")]

    figures.write(measured, tmp_path / "report.json")

    assert json.loads((tmp_path / "report.json").read_text()) == {
        "rate": {"value": 50.0, "unit": "events/s", "limit": 200.0, "ratio": 0.25},
        "size": {"value": 3.0, "unit": "MB", "limit": None, "ratio": None},
    }


@pytest.mark.parametrize(
    ("target", "value", "limit", "met"),
    [
        (Target(0.5), 50.0, 100.0, True),
        (Target(0.5), 49.0, 100.0, False),
        (Target(3.0, at_least=False), 200.0, 100.0, True),
        (Target(3.0, at_least=False), 301.0, 100.0, False),
        (at_most(30), 30.0, None, True),
        (at_most(30), 31.0, 10.0, False),
    ],
)
def test_a_target_judges_the_ratio_or_the_value(
    target: Target, value: float, limit: float | None, *, met: bool
) -> None:
    assert target.met_by(Figure("x", value, "", limit)) is met


def test_a_ratio_without_a_limit_is_not_judged() -> None:
    assert Target(0.5).met_by(Figure("x", 1.0, "")) is None


def test_every_target_of_a_ratio_has_something_it_is_set_beside() -> None:
    assert [
        name
        for name, meaning in CATALOG.items()
        if meaning.target is not None and meaning.target.of_ratio and not meaning.beside
    ] == []


def test_a_measurement_is_what_happened_between_two_samples() -> None:
    begin = Sample(at=10.0, folded=1_000, cpu_s=2.0, wal=500_000)
    end = Sample(at=12.0, folded=201_000, cpu_s=4.0, wal=100_500_000)

    run = between(begin, end, rows=1.5, rss=200.0, whole_s=4.0)

    assert (run.events_per_s, run.cpu_s_per_100k) == (100_000, 1.0)
    assert run.wal_bytes_per_event == 500


def test_the_peak_of_memory_is_read_as_the_kernel_tells_it() -> None:
    status = "Name:\tpython\nVmPeak:\t  900000 kB\nVmHWM:\t  250000 kB\nVmRSS:\t  200000 kB\n"

    assert peak_of(status) == 256.0
