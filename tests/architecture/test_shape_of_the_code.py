"""Functions and files stay small, times are aware, and the repository speaks of Ebbtide alone."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LONGEST_FUNCTION = 50
LONGEST_FILE = 400
DEEPEST = 4  # levels below the function itself
FILES = sorted(
    path for folder in ("services", "shared", "deploy") for path in (ROOT / folder).rglob("*.py")
)
BLOCKS = (ast.For, ast.AsyncFor, ast.While, ast.If, ast.With, ast.AsyncWith, ast.Try)


def functions(path: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def depth(node: ast.AST, *, level: int = 0) -> int:
    deepest = level
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        # `elif` is an If inside an If, and no deeper to a reader.
        chained = isinstance(node, ast.If) and isinstance(child, ast.If) and child in node.orelse
        inside = level + (isinstance(child, BLOCKS) and not chained)
        deepest = max(deepest, depth(child, level=inside))
    return deepest


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_files_and_functions_are_small_enough_to_read_at_once(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= LONGEST_FILE
    long = [
        f"{each.name}: {each.end_lineno - each.lineno + 1} lines"
        for each in functions(path)
        if each.end_lineno is not None and each.end_lineno - each.lineno + 1 > LONGEST_FUNCTION
    ]
    deep = [
        f"{each.name}: {depth(each)} levels" for each in functions(path) if depth(each) > DEEPEST
    ]
    assert not long
    assert not deep


def test_no_module_collects_odds_and_ends() -> None:
    assert not [path for path in FILES if path.stem in {"utils", "helpers", "common", "misc"}]
