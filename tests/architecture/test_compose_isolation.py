"""Each service runs with only its own folder, shared/, and the packages of its own lock."""

import ast
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

from tests.architecture.compose_file import ROOT, SERVICES

# What starts each image, and the lock that it is made from.
PROGRAMS = {
    **{f"services.{name}.__main__": name for name in SERVICES},
    "shared.database.migrate": "migrate",
    "shared.kafka.provision": "migrate",
    "shared.database.migrations.env": "migrate",
    "shared.database.migrations.versions.v0001_pre_first_tables": "migrate",
    "deploy.demo.__main__": "demo",
}

# Runs a module's main with --help where only the allowed top-level packages can be imported.
_RUNNER = """
import runpy, sys

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in BLOCKED:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        return None

BLOCKED = set(sys.argv.pop(1).split(","))
sys.meta_path.insert(0, Absent())
module = sys.argv.pop(1)
sys.argv = [module, "--help"]
sys.path.insert(0, "")
runpy.run_module(module, run_name="__main__")
"""


def canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def locked(group: str) -> set[str]:
    """Return the packages of a lock, without their dependencies' extras."""
    lock = (ROOT / f"deploy/requirements/{group}.txt").read_text()
    return {canonical(name) for name in re.findall(r"^([A-Za-z0-9_.-]+)==", lock, re.MULTILINE)}


def outside(group: str) -> set[str]:
    """Return the top-level names of installed packages that the lock does not hold."""
    allowed = locked(group)
    return {
        name
        for name, packages in packages_distributions().items()
        if not {canonical(package) for package in packages} & allowed
    }


def file_of(module: str) -> Path | None:
    path = ROOT / Path(*module.split("."))
    found = (path.with_suffix(".py"), path / "__init__.py")
    return next((one for one in found if one.is_file()), None)


def imports(file: Path) -> Iterator[tuple[str, bool]]:
    """Yield each module named by an import, and whether the code can do without it."""
    tree = ast.parse(file.read_text())
    optional = {
        id(node)
        for attempt in ast.walk(tree)
        if isinstance(attempt, ast.Try) and any(map(_catches_absence, attempt.handlers))
        for statement in attempt.body
        for node in ast.walk(statement)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, id(node) in optional) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            yield node.module, id(node) in optional
            yield from ((f"{node.module}.{alias.name}", True) for alias in node.names)


def _catches_absence(handler: ast.ExceptHandler) -> bool:
    return handler.type is not None and "ImportError" in ast.unparse(handler.type)


def reached(start: str) -> set[str]:
    """Return our own modules that importing `start` imports, `start` and packages included."""
    found: set[str] = set()
    waiting = [start]
    while waiting:
        module = waiting.pop()
        file = file_of(module)
        if module in found or file is None:
            continue
        found.add(module)
        waiting.append(module.rpartition(".")[0])
        waiting += [
            name for name, _ in imports(file) if name.split(".")[0] in ("services", "shared")
        ]
    return found


def needed(start: str) -> set[str]:
    """Return the top-level packages of others that `start` can't do without."""
    ours = {"services", "shared", "deploy"}
    files = [file for module in reached(start) if (file := file_of(module)) is not None]
    names = {
        name.split(".")[0] for file in files for name, optional in imports(file) if not optional
    }
    return names - ours - sys.stdlib_module_names


@pytest.mark.parametrize("program", PROGRAMS)
def test_what_a_program_imports_is_in_its_lock(program: str) -> None:
    owners = packages_distributions()
    allowed = locked(PROGRAMS[program])

    assert program in reached(program)
    for name in needed(program):
        packages = {canonical(package) for package in owners.get(name, [])}
        assert packages & allowed, f"{program} needs {name}, which its lock does not hold"


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_reaches_no_code_of_another(service: str) -> None:
    reachable = reached(f"services.{service}.__main__")

    others = [f"services.{other}" for other in SERVICES if other != service]
    assert not [module for module in reachable if module.startswith(tuple(others))]
    assert not [module for module in reachable if module.startswith("shared.testing")]


def image(directory: Path, *folders: str) -> Path:
    """Lay out what the Dockerfile copies."""
    for folder in folders:
        ignored = shutil.ignore_patterns("__pycache__", "testing")
        shutil.copytree(ROOT / folder, directory / folder, ignore=ignored)
    if (directory / "services").is_dir():
        shutil.copy(ROOT / "services/__init__.py", directory / "services/__init__.py")
    return directory


def run_help(module: str, *, group: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    environ = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    blocked = ",".join(sorted(outside(group)))
    command = [sys.executable, "-c", _RUNNER, blocked, module]
    return subprocess.run(
        command, cwd=cwd, env=environ, check=False, capture_output=True, text=True, timeout=60
    )


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_starts_with_its_own_folder_and_its_own_packages_alone(
    service: str, tmp_path: Path
) -> None:
    made = image(tmp_path, "shared", f"services/{service}")

    answer = run_help(f"services.{service}", group=service, cwd=made)

    assert answer.returncode == 0, answer.stderr
    assert f"python -m services.{service}" in answer.stdout


@pytest.mark.parametrize("module", ["shared.database.migrate", "shared.kafka.provision"])
def test_the_set_up_starts_with_shared_and_its_own_packages_alone(
    module: str, tmp_path: Path
) -> None:
    made = image(tmp_path, "shared")

    answer = run_help(module, group="migrate", cwd=made)

    assert answer.returncode == 0, answer.stderr


def test_the_demo_starts_without_the_local_run_and_with_its_own_packages_alone(
    tmp_path: Path,
) -> None:
    made = image(tmp_path, "shared", "deploy/demo")
    shutil.copy(ROOT / "deploy/__init__.py", made / "deploy/__init__.py")

    answer = run_help("deploy.demo", group="demo", cwd=made)

    assert answer.returncode == 0, answer.stderr
    assert "--users" in answer.stdout


def test_a_package_outside_the_lock_is_missed(tmp_path: Path) -> None:
    made = image(tmp_path, "shared", "services/alerts")

    answer = run_help("services.alerts", group="ingest", cwd=made)

    assert answer.returncode != 0
    assert "No module named" in answer.stderr
