"""docs/performance.md names every figure that the benchmark measures."""

import re

from tests.architecture.docs_page import ROOT, Page, names, rows

PAGE = Page("performance.md")
CAMPAIGN = (ROOT / "tests/bench/campaign.py").read_text()


def test_every_figure_is_on_the_page_and_no_other() -> None:
    table = rows(PAGE.section("## What it measures"))
    shown = [name.replace("…", "ingest") for row in table for name in names(row[0])]
    # A name is the first word of `_add`, or was given one before it.
    written = re.findall(r"(?:_add\(|name = )\s*f?\"([a-z_0-9{}]+)\"", CAMPAIGN)
    patterns = [re.sub(r"\{\w+\}", r"[a-z0-9]+", name) for name in written]

    assert [name for name in shown if not any(re.fullmatch(each, name) for each in patterns)] == []
    assert [each for each in patterns if not any(re.fullmatch(each, name) for name in shown)] == []
