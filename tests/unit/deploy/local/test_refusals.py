"""Where another user's files are in the way, one line says which and what to do."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from deploy.local.errors import explain_refusal
from deploy.local.state import ROOT

# Root may go anywhere: it becomes somebody else, once it has read the program.
AS_ANOTHER = """
import os, pwd, sys
import deploy.demo.local_site
from deploy.{module}.cli import main
if os.geteuid() == 0:
    os.setuid(pwd.getpwnam("nobody").pw_uid)
raise SystemExit(main(sys.argv[1:]))
"""


@pytest.mark.parametrize(
    ("module", "words"), [("local", ["run"]), ("local", ["clock"]), ("demo", ["--no-live"])]
)
def test_a_closed_directory_is_named_in_one_line(
    module: str, words: list[str], tmp_path: Path
) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o000)

    done = subprocess.run(
        [sys.executable, "-c", AS_ANOTHER.format(module=module), *words],
        env={"PATH": os.environ["PATH"], "EBBTIDE_LOCAL_DIR": str(closed / "state")},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )

    assert done.returncode == 1, done.stderr
    assert f"{closed}/state" in done.stderr
    assert "permission denied" in done.stderr
    assert "EBBTIDE_LOCAL_DIR" in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_path_that_exists_is_named_with_its_owner(tmp_path: Path) -> None:
    said = explain_refusal(PermissionError(13, "Permission denied", str(tmp_path)))

    assert f"{tmp_path}: permission denied" in said
    assert f"it belongs to {tmp_path.owner()}" in said


def test_a_process_of_another_user_is_said_to_be_one() -> None:
    assert "another user" in explain_refusal(PermissionError(1, "Operation not permitted"))
