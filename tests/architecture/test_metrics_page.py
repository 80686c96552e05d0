"""The metrics' page says what the registry says, and every metric is counted by somebody."""

import re
from pathlib import Path

import pytest

from shared.observability import metrics
from shared.observability.metrics import ALL, Metric
from tests.architecture.metrics_page import PAGE, page

ROOT = Path(__file__).parents[2]
SOURCE = "\n".join(
    path.read_text()
    for folder in ("services", "shared")
    for path in (ROOT / folder).rglob("*.py")
    if path.name != "metrics.py"
)
NAMES = {id(value): name for name, value in vars(metrics).items() if isinstance(value, Metric)}


def test_the_page_of_metrics_shows_the_registry() -> None:
    assert PAGE.read_text() == page(), "run: python -m tests.architecture.metrics_page"


@pytest.mark.parametrize("metric", ALL, ids=lambda metric: metric.name)
def test_a_declared_metric_is_counted_somewhere(metric: Metric) -> None:
    assert re.search(rf"\b{NAMES[id(metric)]}\b", SOURCE)


def test_a_metrics_unit_is_the_end_of_its_name() -> None:
    units = ("_total", "_seconds", "_bytes", "_records", "_partitions", "_pending")

    assert [metric.name for metric in ALL if not metric.name.endswith(units)] == []
