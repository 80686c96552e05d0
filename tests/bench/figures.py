"""What a run measured: figures beside the raw limit of the same machine in the same minute."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil
from rich.console import Console
from rich.table import Table


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured number; `limit` is the same work done bare, and `beside` says how."""

    name: str
    value: float
    unit: str
    limit: float | None = None
    beside: str = ""

    @property
    def ratio(self) -> float | None:
        """Return value over limit: below 1 for rates, above 1 for times and sizes."""
        return None if not self.limit else self.value / self.limit


def write(figures: Sequence[Figure], path: Path) -> None:
    """Write name → {value, unit, limit, ratio}."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rounded = {
        figure.name: {
            "value": _short(figure.value),
            "unit": figure.unit,
            "limit": _short(figure.limit),
            "ratio": None if figure.ratio is None else round(figure.ratio, 3),
        }
        for figure in figures
    }
    path.write_text(json.dumps(rounded, indent=2) + "\n")


def show(figures: Sequence[Figure]) -> None:
    """Print the table."""
    cores = psutil.cpu_count()
    table = Table(title=f"{cores} cores, shared by clients, services, Kafka and Postgres")
    for title in ("what", "measured", "unit", "raw limit", "ratio", "the limit is"):
        table.add_column(title, justify="left" if title in ("what", "the limit is") else "right")
    for figure in figures:
        table.add_row(
            figure.name,
            words(figure.value),
            figure.unit,
            words(figure.limit),
            "" if figure.ratio is None else f"{figure.ratio:.2f}",
            figure.beside,
        )
    Console(width=150).print(table)


def percentile(values: Sequence[float], share: float) -> float:
    """Return the value that so large a share of the values does not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def _short(value: float | None) -> float | None:
    return None if value is None else round(value, 2)


def words(value: float | None) -> str:
    """Return a figure for the eye."""
    if value is None:
        return ""
    return f"{value:,.0f}" if value >= 100 else f"{value:,.1f}"
