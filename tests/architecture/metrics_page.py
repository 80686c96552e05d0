"""`docs/metrics.md` from the registry: `python -m tests.architecture.metrics_page` writes it."""

from pathlib import Path

from shared.observability.metrics import ALL

PAGE = Path(__file__).parents[2] / "docs" / "metrics.md"
HEAD = """\
# Metrics

Every service serves these at `/metrics`, each where it has something to say. The unit is the end of the
name. Labels are closed sets or bounded by configuration, never user ids. A series comes with its first value, so in an
alert an absent counter is 0. `…_created` beside a counter or histogram is when that began, in seconds since 1970.

| metric | type | labels | meaning |
|---|---|---|---|
"""


def page() -> str:
    """Return the page as it should be."""
    return HEAD + "".join(
        f"| `{metric.name}` | {metric.kind} | {', '.join(metric.labels) or ''} | {metric.meaning} |\n"
        for metric in ALL
    )


if __name__ == "__main__":
    PAGE.write_text(page())
