"""docs/cli.md names every option, field, code and status that there is."""

import re

import pytest
import typer

from deploy.cli.app import app
from deploy.cli.exits import Status
from deploy.cli.importing.fields import FIELDS, SPELLED
from deploy.cli.importing.open_file import FORMATS
from tests.architecture.docs_page import ROOT, Page, names, rows

PAGE = Page("cli.md")
SOURCES = sorted((ROOT / "deploy/cli/importing").glob("*.py"))
# Made up of a word and its reason: where a row is refused.
CODE = re.compile(r'(?:_Refused|_Unreadable|Refusal|__init__|Broken)\(\s*[^"()]*?"([a-z_0-9]+)",')


def commands() -> dict[str, typer.core.TyperCommand]:
    group = typer.main.get_command(app)
    found: dict[str, typer.core.TyperCommand] = {}
    for name, each in group.commands.items():  # type: ignore[attr-defined]
        inner = getattr(each, "commands", None)
        found |= {f"{name} {key}": it for key, it in inner.items()} if inner else {name: each}
    return found


def test_every_command_has_its_section() -> None:
    assert set(PAGE.headings()) == {f"ebbtide {name}" for name in commands()}


@pytest.mark.parametrize("name", commands())
def test_every_option_is_on_the_page(name: str) -> None:
    options = {
        option
        for each in commands()[name].params
        for option in each.opts
        if option.startswith("--") and option != "--help"
    }

    assert {option for option in options if option not in PAGE.text} == set()


def test_no_option_is_on_the_page_that_there_is_not() -> None:
    shown = set(re.findall(r"(?<![\w-])--[a-z][a-z-]*", PAGE.text))
    known = {option for each in commands().values() for it in each.params for option in it.opts}

    assert shown - known == {"--help", "--require-hashes"}


def test_every_field_and_its_other_names_are_on_the_page() -> None:
    shown = {
        field: set(names(row[1])) for row in rows(PAGE.text) for field in names(row[0]) if row[1:]
    }

    for field in FIELDS:
        assert {other for other, ours in SPELLED.items() if ours == field} <= shown[field], field


def test_every_end_of_a_name_is_on_the_page() -> None:
    assert {end for end in FORMATS if f"`{end}`" not in PAGE.text} == set()


def test_every_code_of_a_reject_is_on_the_page() -> None:
    written = {code for path in SOURCES for code in CODE.findall(path.read_text())}
    section = PAGE.section("## ebbtide import")

    assert {"not_utf8", "missing_field", "body_too_large", "unclosed_quote"} <= written
    assert {code for code in written if f"`{code}`" not in section} == set()


def test_every_status_is_on_the_page() -> None:
    cells = [row[0] for row in rows(PAGE.text) if re.fullmatch(r"\d+(, \d+)*", row[0])]

    shown = {int(number) for cell in cells for number in cell.split(", ")}
    assert shown == {int(each) for each in Status}
