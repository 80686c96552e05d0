"""docs/lifecycle.md: its thresholds, its example and its messages are those of the code."""

import re
from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from services.ingest.domain.clock_skew import FUTURE
from services.segmenter.domain.lifecycle import timeline
from services.segmenter.domain.policy import Policies, Policy
from services.segmenter.domain.spans import add_instants
from services.segmenter.settings import Settings
from services.segmenter.usecases.fold_events import DUPLICATE_WINDOW
from services.segmenter.usecases.sweep_deadlines import SWEEP_LIMIT
from shared.contracts.codec import decode_transition
from shared.contracts.transitions import Evidence, TransitionMessage
from shared.lanes.watermark import IN_FLIGHT
from tests.architecture.docs_page import ROOT, Page, blocks, names, rows

PAGE = Page("lifecycle.md")
FIRST_POLICY = ROOT / "shared/database/migrations/versions/v0001_segmenter.sql"
THRESHOLDS = ("new_for", "silent_after", "churned_after", "returned_for")
Change = tuple[str, str, str]


def days_of_the_first_policy() -> list[int]:
    found = re.search(r"VALUES \(1, (.*?), 'the policy", FIRST_POLICY.read_text())
    assert found is not None
    return [int(days) for days in re.findall(r"'(\d+) days'", found[1])]


POLICY = Policy(1, *(timedelta(days=days) for days in days_of_the_first_policy()))


def history(*days: str) -> list[Change]:
    """Return the changes of a user who was active at noon on these days, as the page writes them."""
    done = [datetime.fromisoformat(day).replace(hour=12, tzinfo=UTC) for day in days]
    steps = timeline(add_instants((), done, silent_after=POLICY.silent_after), Policies(POLICY))
    return [
        (
            f"{step.at:%Y-%m-%d %H:%M}",
            f"{'—' if step.before is None else f'`{step.before}`'} → `{step.after}`",
            f"`{step.reason}`",
        )
        for step in steps
    ]


def test_the_thresholds_are_those_of_the_first_policy() -> None:
    shown = {names(row[0])[0]: row[1] for row in rows(PAGE.section("## The rule"))[5:]}

    assert shown == {
        name: f"{days} days"
        for name, days in zip(THRESHOLDS, days_of_the_first_policy(), strict=True)
    }


def test_the_example_is_what_the_rule_makes_of_it() -> None:
    told = [tuple(row) for row in rows(PAGE.section("## An example"))]
    march = ("2026-03-01", "2026-03-05", "2026-03-12", "2026-03-15")
    may = ("2026-05-02", "2026-05-04", "2026-05-10", "2026-05-11")

    assert told == history(*march, *may)


def test_the_example_of_a_correction_is_what_the_rule_makes_of_it() -> None:
    march = ("2026-03-01", "2026-03-05", "2026-03-12", "2026-03-15")
    before = {(at, change) for at, change, _ in history(*march)}
    after = {(at, change) for at, change, _ in history(*march, "2026-03-20")}

    told = rows(PAGE.section("## Corrections"))
    assert {(at, change) for at, change, how in told if how == "retracted"} == before - after
    assert {(at, change) for at, change, how in told if how != "retracted"} == after - before


@pytest.mark.parametrize("block", blocks(PAGE.section("## A transition"), "json"))
def test_a_message_on_the_page_is_one_as_it_is_sent(block: str) -> None:
    understood = decode_transition(block.encode())

    assert msgspec.json.decode(msgspec.json.encode(understood)) == msgspec.json.decode(block)


def test_every_field_of_a_transition_is_on_the_page_and_no_other() -> None:
    table = rows(PAGE.section("## A transition"))
    [evidence] = [row[2] for row in table if row[0] == "`evidence`"]

    assert [names(row[0])[0] for row in table] == list(TransitionMessage.__struct_fields__)
    assert names(evidence) == list(Evidence.__struct_fields__)


def test_the_numbers_are_the_codes() -> None:
    window = Settings.model_fields["live_window_s"].default

    assert f"within **{DUPLICATE_WINDOW.days} days** of" in PAGE.text
    assert f"up to {FUTURE.total_seconds() / 60:.0f} minutes ahead" in PAGE.text
    assert f"{window / 3600:.0f} hours is the default" in PAGE.text
    assert f"up to {SWEEP_LIMIT:,} users" in PAGE.text
    assert f"less {IN_FLIGHT.total_seconds() * 1000:.0f} ms" in PAGE.text
