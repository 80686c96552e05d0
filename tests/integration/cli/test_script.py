"""`./ebbtide` works from any directory, and says what to do where nothing is installed."""

import os
import shutil
import subprocess
import venv
from pathlib import Path

import pytest

from tests.integration.cli.kit import ROOT


def run(script: Path, directory: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [script, *words], cwd=directory, capture_output=True, text=True, check=False, timeout=60
    )


@pytest.mark.skipif(
    not os.access(ROOT / ".venv/bin/python", os.X_OK), reason="the script runs .venv's Python"
)
def test_files_are_named_from_where_one_stands(tmp_path: Path) -> None:
    (tmp_path / "deploy").mkdir()  # not ours
    (tmp_path / "deploy" / "__init__.py").touch()
    (tmp_path / "a.csv").write_text("user_id,timestamp,name\nada,2024-01-01,x\n")
    link = tmp_path / "link"
    link.symlink_to(ROOT / "ebbtide")

    for script in (ROOT / "ebbtide", link):
        done = run(script, tmp_path, "import", "a.csv", "--dry-run")

        assert done.returncode == 0, done.stderr
        assert "1 rows would be imported" in done.stdout


def test_where_nothing_is_installed_it_says_what_to_do(tmp_path: Path) -> None:
    shutil.copy(ROOT / "ebbtide", tmp_path)

    done = run(tmp_path / "ebbtide", tmp_path, "segmenter", "status")

    assert done.returncode == 2
    assert done.stderr == (
        f"ebbtide: nothing is installed yet: run `make ebbtide` in {tmp_path} once\n"
    )


def test_while_packages_are_still_installed_it_says_so_in_one_line(tmp_path: Path) -> None:
    shutil.copy(ROOT / "ebbtide", tmp_path)
    for ours in ("deploy", "services", "shared"):
        (tmp_path / ours).symlink_to(ROOT / ours)
    venv.create(tmp_path / ".venv")  # as pip finds it when it begins

    done = run(tmp_path / "ebbtide", tmp_path, "--help")

    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("ebbtide: typer is not installed: wait until `make run`")
    assert len(done.stderr.splitlines()) == 1
