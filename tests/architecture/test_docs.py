"""The pages name what exists: files, headings, variables, targets of make, tests."""

import re
from functools import cache
from pathlib import Path

import pytest

from deploy.demo.site import NoSystem, named_site
from tests.architecture.test_makefile import targets

ROOT = Path(__file__).parents[2]
SKIPPED = {".venv", ".local", ".git", "node_modules", ".hypothesis"}
PAGES = sorted(
    path
    for path in ROOT.rglob("*.md")
    if not SKIPPED & set(path.relative_to(ROOT).parts) and ".pytest_cache" not in path.parts
)
FENCED = re.compile(r"^```.*?^```$", re.DOTALL | re.MULTILINE)
VARIABLE = re.compile(r"\bEBBTIDE_[A-Z0-9_]*[A-Z0-9]\b")
each_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))


@cache
def prose(page: Path) -> str:
    return FENCED.sub("", page.read_text())


@cache
def anchors(page: Path) -> set[str]:
    """Return the anchors of a page's headings, made as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)$", prose(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", each.lower()).replace(" ", "-") for each in headings}


@cache
def known_variables() -> set[str]:
    """Return what services read (by their settings) and what tools and tests read (by their code)."""
    example = VARIABLE.findall((ROOT / ".env.example").read_text())
    sources = [*(ROOT / "deploy").rglob("*.py"), *(ROOT / "tests").rglob("*.py")]
    sources = [path for path in sources if not path.name.startswith("test_")]
    read = [name for path in sources for name in VARIABLE.findall(path.read_text())]
    compose = VARIABLE.findall((ROOT / "docker-compose.yml").read_text())
    return {*example, *read, *compose, *demo_variables()}


def demo_variables() -> set[str]:
    given = "EBBTIDE_DEMO_INGEST_URL"
    with pytest.raises(NoSystem) as refusal:
        named_site({given: "http://somewhere"})
    return {given, *VARIABLE.findall(str(refusal.value))}


@each_page
def test_every_link_leads_to_a_file_and_a_heading(page: Path) -> None:
    broken = []
    for link in re.findall(r"\]\(([^)\s]+)\)", prose(page)):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            broken.append(link)

    assert not broken


@each_page
def test_every_variable_exists(page: Path) -> None:
    named = {name.removesuffix("_FILE") for name in VARIABLE.findall(page.read_text())}

    assert named - {name.removesuffix("_FILE") for name in known_variables()} == set()


@each_page
def test_every_target_of_make_exists(page: Path) -> None:
    words = r"make (?:[A-Z]+=[^\s`]+ )*([a-z]+)"
    # In backquotes, or a line of its own in a block: elsewhere "make" is a verb.
    called = [
        *re.findall(rf"`{words}", prose(page)),
        *re.findall(rf"^ {{4}}{words}", prose(page), re.MULTILINE),
    ]
    assert set(called) - targets() == set()


@each_page
def test_every_test_that_is_named_exists(page: Path) -> None:
    named = re.findall(r"`(tests/[\w./-]+)`", page.read_text())

    assert [path for path in named if not (ROOT / path).exists()] == []


@each_page
def test_every_file_of_the_code_that_is_named_exists(page: Path) -> None:
    named = re.findall(r"`((?:services|shared|deploy|docs)/[\w./-]+)`", page.read_text())

    assert [path for path in named if not (ROOT / path).exists()] == []


def test_every_page_can_be_reached_from_another() -> None:
    linked = {
        (page.parent / link.partition("#")[0]).resolve()
        for page in PAGES
        for link in re.findall(r"\]\(([^)\s]+)\)", prose(page))
    }
    lonely = {page for page in PAGES if page.parent != ROOT} - linked

    # A playbook belongs to its kind of alert, whose tests look for it.
    assert {page for page in lonely if "playbooks" not in page.parts} == set()


def test_every_decision_is_in_the_list_and_says_what_enforces_it() -> None:
    folder = ROOT / "docs" / "decisions"
    pages = sorted(folder.glob("0*.md"))
    listed = re.findall(r"\]\((0[\w-]+\.md)\)", (folder / "README.md").read_text())

    assert listed == [page.name for page in pages]
    for number, page in enumerate(pages, 1):
        text = page.read_text()
        assert text.startswith(f"# {number}. "), page.name
        for part in ("**Context.**", "**Decision.**", "**Consequences.**", "**Enforced by**"):
            assert part in text, (page.name, part)


def test_a_page_that_the_code_names_exists() -> None:
    sources = [
        *(ROOT / "services").rglob("*.py"),
        *(ROOT / "shared").rglob("*.py"),
        *(ROOT / "deploy").rglob("*.py"),
    ]
    named = {
        name for path in sources for name in re.findall(r"\bdocs/[\w/-]+\.md", path.read_text())
    }

    assert {name for name in named if not (ROOT / name).exists()} == set()
