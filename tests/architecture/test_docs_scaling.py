"""docs/scaling.md reckons with what was measured, and its limits are those of the code."""

import re

from services.segmenter.usecases.sweep_deadlines import SWEEP_LIMIT
from shared.contracts import topics
from shared.kafka.write_limits import LogLimits
from shared.lanes.limits import LaneLimits
from tests.architecture import scaling_page
from tests.architecture.docs_page import Page, rows

PAGE = Page("scaling.md")


def test_the_page_reckons_with_the_figures_of_the_page_of_performance() -> None:
    assert PAGE.text == scaling_page.page(), "run: python -m tests.architecture.scaling_page"


def test_the_page_says_what_it_assumes_and_where_its_figures_come_from() -> None:
    assumed = PAGE.section("## What it takes")

    assert f"{scaling_page.EVENTS_A_DAY} events a day" in assumed
    assert f"{scaling_page.PEAK} times the average" in assumed
    assert f"{scaling_page.USED:.0%}".replace("%", " %") in assumed
    assert f"{scaling_page.TRANSITIONS_A_YEAR} transitions a year" in assumed
    shown = {row[0]: row[1] for row in rows(assumed)}
    for figure in (
        "fold_events_per_s",
        "ingest_events_per_s_batch_1",
        "ingest_events_per_s_batch_100",
    ):
        assert shown[f"`{figure}`"] == f"{scaling_page.measured(figure):,.0f} events/s"


def test_the_times_and_numbers_are_the_codes() -> None:
    lanes = LaneLimits()

    assert f"{topics.DEFAULT_PARTITIONS} partitions" in PAGE.text
    assert f"every {lanes.partitions_s:.0f} s" in PAGE.text
    assert f"within {LogLimits().metadata_max_age_ms / 1000:.0f} s" in PAGE.text
    assert f"a lease of {lanes.lease_s:.0f} s" in PAGE.text
    assert f"{SWEEP_LIMIT:,} users" in PAGE.text


def test_the_page_is_written_without_placeholders() -> None:
    assert not re.search(r"TODO|TBD|XXX|\?\?", PAGE.text)
