"""docs/local.md names every port, every field of run.json and every variable of the Compose file."""

from dataclasses import fields

from deploy.local.plan import WANTED
from deploy.local.restarts import AT_MOST, FIRST_S, LONGEST_S
from deploy.local.state import RunInfo
from tests.architecture.compose_file import required
from tests.architecture.docs_page import Page, names, rows

PAGE = Page("local.md")


def test_every_port_is_on_the_page_and_no_other() -> None:
    shown = {names(variable)[0]: int(port) for _, variable, port in rows(PAGE.section("## Ports"))}

    assert shown == dict(WANTED.values())


def test_every_field_of_the_run_is_on_the_page_and_no_other() -> None:
    shown = [name for row in rows(PAGE.section("## run.json")) for name in names(row[0])]

    assert sorted(shown) == sorted(field.name for field in fields(RunInfo))


def test_every_variable_that_compose_needs_is_on_the_page_and_no_other() -> None:
    shown = {name for row in rows(PAGE.section("## Docker Compose")) for name in names(row[0])}

    assert shown == required()


def test_how_often_a_program_is_started_again_is_the_codes() -> None:
    assert f"after {FIRST_S} s the first time, at most {LONGEST_S:.0f} s later on" in PAGE.text
    assert (AT_MOST + 1, "crashes nine times" in PAGE.text) == (9, True)
