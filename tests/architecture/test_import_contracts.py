"""Each import contract catches the offence that it is there for.

A rule that can't be broken in a test may have been miswritten: every probe adds one forbidden import to
a copy of the tree, and the named contract has to notice.
"""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LINTER = Path(sys.executable).with_name("lint-imports")

LAYERS = "Inside a service, data flows inward"
PURE = "Domain is pure"
SQL = "SQL stays in outbound adapters and shared.database"
HTTP = "HTTP stays in inbound adapters and shared.http"

PROBES = [
    (
        "shared/clock.py",
        "import services.ingest.domain",
        "Services stand on shared, never the other way",
    ),
    (
        "services/api/domain/cursor.py",
        "import services.ingest.domain",
        "Services meet only on the wire",
    ),
    ("services/api/domain/cursor.py", "import services.api.usecases.ports", LAYERS),
    ("services/api/inbound/access.py", "import services.api.outbound.pages", LAYERS),
    ("services/api/helpers/__init__.py", "", LAYERS),
    (
        "services/api/outbound/pages.py",
        "import services.api.settings",
        "Only composition roots read settings",
    ),
    (
        "services/api/usecases/ports.py",
        "import services.api.settings",
        "Only composition roots read settings",
    ),
    ("services/api/domain/cursor.py", "import asyncio", PURE),
    ("services/api/domain/cursor.py", "import time", PURE),
    ("services/api/domain/cursor.py", "import sqlalchemy", PURE),
    ("services/api/domain/cursor.py", "import shared.contracts.topics", PURE),
    ("services/api/domain/cursor.py", "import shared.clock", PURE),
    (
        "services/ingest/outbound/event_topic.py",
        "import aiokafka",
        "Kafka client stays behind shared.kafka",
    ),
    ("services/api/usecases/ports.py", "import sqlalchemy", SQL),
    ("services/api/usecases/ports.py", "import asyncpg", SQL),
    ("services/api/usecases/ports.py", "import fastapi", HTTP),
    ("shared/kafka/log.py", "import shared.database.connection", "Inside shared"),
    (
        "services/api/wiring.py",
        "import shared.testing.broker",
        "Test doubles never ship in a service",
    ),
]


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    copy = tmp_path_factory.mktemp("tree")
    for name in ("services", "shared"):
        shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", copy)
    return copy


def broken_contracts(tree: Path) -> str:
    """Return what the linter says, in which each broken contract stands as `<name> BROKEN`."""
    done = subprocess.run(
        [LINTER, "--no-logo", "--no-cache"],
        cwd=tree,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    return done.stdout + done.stderr


def test_the_tree_keeps_every_contract(tree: Path) -> None:
    said = broken_contracts(tree)

    assert "0 broken" in said, said


@pytest.mark.parametrize(("file", "line", "contract"), PROBES)
def test_a_forbidden_import_breaks_its_contract(
    tree: Path, file: str, line: str, contract: str
) -> None:
    path = tree / file
    before = path.read_text() if path.exists() else None
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"{before or ''}\n{line}\n")

    said = broken_contracts(tree)

    if before is None:
        shutil.rmtree(path.parent)
    else:
        path.write_text(before)
    assert f"{contract} BROKEN" in said or (before is None and "helpers" in said), said


def test_two_modules_that_import_each_other_break_the_rule_against_cycles(tree: Path) -> None:
    usecases = tree / "services" / "api" / "usecases"
    (usecases / "one.py").write_text("import services.api.usecases.two\n")
    (usecases / "two.py").write_text("import services.api.usecases.one\n")

    said = broken_contracts(tree)

    (usecases / "one.py").unlink()
    (usecases / "two.py").unlink()
    assert "No cycles anywhere BROKEN" in said, said
