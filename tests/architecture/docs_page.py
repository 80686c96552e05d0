"""A page of docs/ as tests look at it: its sections, its blocks of code, the rows of its tables."""

import json
import re
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]


class Page:
    """One page, by its name under `docs/`."""

    def __init__(self, name: str) -> None:
        self.text = (ROOT / "docs" / name).read_text()

    def section(self, heading: str) -> str:
        """Return what stands below a heading, up to the next one of the same kind."""
        found = re.search(rf"^{re.escape(heading)}$(.*?)(?=^## |\Z)", self.text, _BOTH)
        assert found is not None, heading
        return found[1]

    def headings(self) -> list[str]:
        return re.findall(r"^## (.*)$", self.text, re.MULTILINE)


_BOTH = re.DOTALL | re.MULTILINE


def blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", text, _BOTH)


def json_blocks(text: str) -> list[Any]:
    return [json.loads(block) for block in blocks(text, "json")]


def rows(text: str) -> list[list[str]]:
    """Return the cells of every row of the tables in a text, without heads and rules."""
    lines = [line for line in text.splitlines() if line.startswith("|")]
    heads = {index - 1 for index, line in enumerate(lines) if re.fullmatch(r"\|[-|]+\|", line)}
    return [
        [cell.strip() for cell in line.strip("|").split("|")]
        for index, line in enumerate(lines)
        if index not in heads and index - 1 not in heads
    ]


def names(cell: str) -> list[str]:
    """Return the words of a cell that stand in backquotes."""
    return re.findall(r"`([^`]+)`", cell)
