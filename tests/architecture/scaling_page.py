"""The tables of docs/scaling.md from docs/performance.md: `python -m tests.architecture.scaling_page`."""

import math
import re
from collections.abc import Callable
from pathlib import Path

from shared.contracts import topics
from tests.architecture.docs_page import Page

PAGE = Path(__file__).parents[2] / "docs" / "scaling.md"
BETWEEN = re.compile(r"(<!-- computed -->\n).*?(<!-- until here -->)", re.DOTALL)
FIGURE = re.compile(r"^\| `(\w+)` \| [\d,]+ events/s \|$", re.MULTILINE)

MILLIONS = (1, 10, 100)
EVENTS_A_DAY = 20
PEAK = 3
# Of a process: the rest is for what comes late, and for the day on which one of them is missing.
USED = 0.6
DAY_S = 86_400
GB = 1e9
TRANSITIONS_A_YEAR = 12
KAFKA_DAYS = (topics.EVENTS.retention_ms or 0) // topics.DAY_MS
REPLICAS = 3
SHORT_LOG_DAYS, LONG_LOG_DAYS = 30, 400


def measured(name: str) -> float:
    """Return a figure as docs/performance.md has it."""
    figures = Page("performance.md").section("## Figures")
    found = re.search(rf"^\| `{name}` \| ([\d,.]+)", figures, re.MULTILINE)
    assert found is not None, f"docs/performance.md has no figure {name}"
    return float(found[1].replace(",", ""))


def taken(what: str) -> float:
    """Return how many bytes something takes up, as the page itself says it was measured."""
    found = re.search(rf"^\| {what} \| ([\d,]+) bytes", PAGE.read_text(), re.MULTILINE)
    assert found is not None, f"docs/scaling.md does not say what a {what} takes up"
    return float(found[1].replace(",", ""))


def tables() -> str:
    """Return what the page should have between its two marks."""
    heads = "".join(f" {number} million users |" for number in MILLIONS)
    rows: list[tuple[str, Callable[[int], str]]] = [
        ("events a day", lambda m: f"{m * EVENTS_A_DAY:,} million"),
        ("events/s at the peak", lambda m: f"{_peak(m):,.0f}"),
        ("segmenter processes", lambda m: f"{_segmenters(m)}"),
        ("partitions of the events topic", lambda m: f"{_partitions(m)}"),
        (
            "ingest processes, an event in a request",
            lambda m: f"{_processes('ingest_events_per_s_batch_1', m)}",
        ),
        (
            "ingest processes, 100 events in a request",
            lambda m: f"{_processes('ingest_events_per_s_batch_100', m)}",
        ),
        (
            f"Kafka: {KAFKA_DAYS} days of events, {REPLICAS} replicas",
            lambda m: _size(
                _events(m) * KAFKA_DAYS * REPLICAS * taken("record of an event in Kafka")
            ),
        ),
        (
            "Postgres writes to its log at the peak",
            lambda m: f"{_peak(m) * taken('write-ahead log of an event') / 1e6:,.1f} MB/s",
        ),
        (f"Postgres: the event log, {SHORT_LOG_DAYS} days", lambda m: _log(m, SHORT_LOG_DAYS)),
        (f"Postgres: the event log, {LONG_LOG_DAYS} days", lambda m: _log(m, LONG_LOG_DAYS)),
        (
            "Postgres: users",
            lambda m: _size(m * 1e6 * taken("row of a user, with indexes")),
        ),
        (
            "Postgres: transitions, each year",
            lambda m: _size(
                m * 1e6 * TRANSITIONS_A_YEAR * taken("row of a transition, with indexes")
            ),
        ),
        ("connections of the segmenters to Postgres", lambda m: f"{_connections(m)}"),
    ]
    body = [f"| {what} | {' | '.join(value(m) for m in MILLIONS)} |" for what, value in rows]
    return "\n".join([f"| |{heads}", "|---|" + "---|" * len(MILLIONS), *body]) + "\n"


def page() -> str:
    """Return the page with its tables as they should be."""
    text = BETWEEN.sub(lambda found: f"{found[1]}\n{tables()}\n{found[2]}", PAGE.read_text())
    return FIGURE.sub(lambda it: f"| `{it[1]}` | {measured(it[1]):,.0f} events/s |", text)


def _events(millions: int) -> float:
    return millions * 1e6 * EVENTS_A_DAY


def _peak(millions: int) -> float:
    return _events(millions) / DAY_S * PEAK


def _processes(figure: str, millions: int) -> int:
    return max(2, math.ceil(_peak(millions) / (measured(figure) * USED)))


def _segmenters(millions: int) -> int:
    return _processes("fold_events_per_s", millions)


def _partitions(millions: int) -> int:
    """Return three for each process, so that shares stay even when one more comes or goes."""
    return max(topics.DEFAULT_PARTITIONS, 3 * _segmenters(millions))


def _connections(millions: int) -> int:
    return _partitions(millions) + topics.DEAD_LETTER.partitions + 7 * _segmenters(millions)


def _log(millions: int, days: int) -> str:
    return _size(_events(millions) * days * taken("row of an event, with indexes"))


def _size(size: float) -> str:
    gigabytes = size / GB
    return f"{gigabytes / 1e3:,.1f} TB" if gigabytes >= 1e3 else f"{gigabytes:,.1f} GB"


if __name__ == "__main__":
    PAGE.write_text(page())
