"""docs/performance.md tells of every figure of the segmenter's benchmark, and of its target."""

from tests.architecture.docs_page import Page, names, rows
from tests.bench.segmenter.catalog import CATALOG

TABLE = rows(Page("performance.md").section("## The segmenter alone"))


def test_every_figure_is_on_the_page_and_no_other() -> None:
    assert sorted(name for row in TABLE for name in names(row[0])) == sorted(CATALOG)


def test_the_page_shows_the_targets() -> None:
    shown = {name: row[3] for row in TABLE for name in names(row[0])}
    for name, meaning in CATALOG.items():
        if meaning.target is None:
            assert "ratio" not in shown[name], name
        else:
            assert any(
                f"{meaning.target.bound:{form}}" in shown[name] for form in ("g", ",.0f", ".2f")
            ), name


def test_what_stands_beside_a_figure_is_told_where_there_is_something() -> None:
    beside = {name: bool(row[2]) for row in TABLE for name in names(row[0])}

    assert beside == {name: bool(meaning.beside) for name, meaning in CATALOG.items()}
