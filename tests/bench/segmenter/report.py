"""The table of a run: each figure beside its limit and its target."""

from collections.abc import Mapping, Sequence

import psutil
from rich.console import Console
from rich.table import Table

from tests.bench.figures import Figure, words
from tests.bench.segmenter.catalog import CATALOG

_LEFT = ("what", "the limit is")
_COLUMNS = ("what", "measured", "unit", "limit", "ratio", "target", "", "the limit is")


def show(figures: Sequence[Figure], left_out: Mapping[str, str]) -> None:
    """Print the table, and a line for each figure that could not be measured."""
    cores = psutil.cpu_count()
    table = Table(title=f"The segmenter; {cores} cores, shared with Kafka and Postgres")
    for title in _COLUMNS:
        table.add_column(title, justify="left" if title in _LEFT else "right")
    for figure in figures:
        table.add_row(*_cells(figure))
    console = Console(width=150)
    console.print(table)
    for name, why in left_out.items():
        console.print(f"{name} is left out: {why}", highlight=False)


def verdict(figure: Figure) -> str:
    """Say whether a figure keeps its target, where it has one."""
    target = CATALOG[figure.name].target
    met = None if target is None else target.met_by(figure)
    return {None: "", True: "met", False: "not met"}[met]


def _cells(figure: Figure) -> tuple[str, ...]:
    target = CATALOG[figure.name].target
    return (
        figure.name,
        f"{figure.value:.2f}" if figure.value < 10 else words(figure.value),
        figure.unit,
        words(figure.limit),
        "" if figure.ratio is None else f"{figure.ratio:.2f}",
        "" if target is None else str(target),
        verdict(figure),
        figure.beside,
    )
