"""`make` alone says what there is, and continuous integration calls nothing else."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]


def make(*words: str) -> subprocess.CompletedProcess[str]:
    """Run make as from a shell, though the tests themselves may run under it."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    return subprocess.run(
        [shutil.which("make") or "make", *words],
        cwd=ROOT,
        env={name: value for name, value in environ.items() if name != "MFLAGS"},
        capture_output=True,
        text=True,
        check=False,
    )


def targets() -> set[str]:
    phony = re.search(r"^\.PHONY: (.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert phony is not None
    return set(phony[1].split())


def test_make_prints_every_target_with_a_line_of_explanation() -> None:
    shown = make().stdout
    explained = set(re.findall(r"^  ([a-z-]+) +\S", shown, re.MULTILINE))
    assert explained == targets()


def test_the_ci_script_runs_the_definition_of_clean_and_the_tests() -> None:
    script = ROOT / ".ci" / "run"
    assert os.access(script, os.X_OK)
    called = re.findall(r"^ *make (\w+)(.*)$", script.read_text(), re.MULTILINE)
    # What fails is tried once more; a second failure ends the script, for its last command decides.
    again = ' ARGS="--last-failed --last-failed-no-failures none"'
    assert called == [("check", ""), ("test", " || {"), ("test", again)]


def test_a_commit_is_held_to_the_same_definition_of_clean() -> None:
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())
    assert [hook["entry"] for repo in hooks["repos"] for hook in repo["hooks"]] == ["make check"]


@pytest.mark.parametrize(("target", "status"), [("status", 2), ("stop", 0), ("down", 0)])
def test_where_nothing_is_installed_nothing_runs_and_only_asking_whether_it_does_fails(
    target: str, status: int, tmp_path: Path
) -> None:
    done = make(target, f"VENV={tmp_path}", "PYTHON=python3")

    assert done.returncode == status
    assert done.stdout == "Nothing runs: nothing is installed yet.\n"
