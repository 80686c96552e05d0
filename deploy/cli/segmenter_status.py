"""What `GET /v1/segmenter` says, as a table and as one sentence. Pure."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich.table import Table
from rich.text import Text

COLUMNS = ("partition", "owner", "epoch", "next offset", "lag", "watermark", "age", "frozen")
_NUMBERS = {"partition", "epoch", "next offset", "lag", "age"}
NOTHING = "-"


def stands_still(answer: Mapping[str, Any]) -> bool:
    """Say whether some partition is folded by nobody, or none is known."""
    alive = _alive(answer)
    partitions: Sequence[Mapping[str, Any]] = answer["partitions"]
    return not partitions or any(
        each["frozen_reason"] is not None or each["owner"] not in alive for each in partitions
    )


def status_table(answer: Mapping[str, Any]) -> list[Table | Text]:
    """Return the partitions with their total, and who is alive."""
    table = Table(show_footer=True)
    waiting = answer["lag"]["events"]
    footers = {
        "partition": "total",
        "lag": f"{waiting:,}",
        "age": _seconds(answer["lag"]["seconds"]),
    }
    for name in COLUMNS:
        table.add_column(
            name,
            Text(footers.get(name, "")),
            justify="right" if name in _NUMBERS else "left",
            overflow="fold",
        )
    alive = _alive(answer)
    for each in answer["partitions"]:
        table.add_row(*(Text(cell) for cell in _cells(each, alive)))
    return [table, Text(_workers(answer))]


def _cells(partition: Mapping[str, Any], alive: Sequence[str]) -> Sequence[str]:
    owner, lag = partition["owner"], partition["lag"]
    return (
        str(partition["partition"]),
        NOTHING if owner is None else owner if owner in alive else f"{owner} (dead)",
        str(partition["epoch"]),
        f"{partition['next_offset']:,}",
        NOTHING if lag["events"] is None else f"{lag['events']:,}",
        partition["watermark"] or NOTHING,
        _seconds(lag["seconds"]),
        partition["frozen_reason"] or NOTHING,
    )


def _workers(answer: Mapping[str, Any]) -> str:
    workers: Sequence[Mapping[str, Any]] = answer["workers"]
    alive = _alive(answer)
    leaving = sum(each["leaving"] for each in workers if each["worker"] in alive)
    words = f"{len(alive)} worker{'' if len(alive) == 1 else 's'} alive"
    words += f", {leaving} of them leaving" if leaving else ""
    dead = len(workers) - len(alive)
    words += f", {dead} died within the hour" if dead else ""
    return f"{words}; {len(answer['partitions'])} partitions, all folded up to {answer['as_of'] or NOTHING}"


def _alive(answer: Mapping[str, Any]) -> Sequence[str]:
    return [each["worker"] for each in answer["workers"] if each["alive"]]


def _seconds(age_s: float | None) -> str:
    return NOTHING if age_s is None else f"{age_s:,.1f} s"
