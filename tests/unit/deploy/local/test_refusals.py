"""Where another user's files are in the way, one line says which and what to do."""

import os
import pwd
import subprocess
import sys
from pathlib import Path

import pytest

from deploy.local import reach
from deploy.local.errors import explain_refusal
from deploy.local.state import ROOT

AS_ROOT = os.geteuid() == 0


# As root, the command runs as nobody: who then must be able to read the code and run the interpreter.
@pytest.mark.skipif(
    AS_ROOT
    and not (reach.passable(ROOT) and reach.passable(Path(sys.executable).resolve().parent)),
    reason="nobody may not read this checkout or its interpreter",
)
@pytest.mark.parametrize(
    "words",
    [("local", "run"), ("local", "status"), ("local", "clock"), ("demo", "--no-live")],
)
def test_a_closed_directory_is_named_in_one_line(words: tuple[str, ...], tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o000)
    module, *rest = words

    done = subprocess.run(
        [sys.executable, "-m", f"deploy.{module}", *rest],
        env={"PATH": os.environ["PATH"], "EBBTIDE_LOCAL_DIR": str(closed / "state")},
        cwd=ROOT,
        user=pwd.getpwnam(reach.UNPRIVILEGED).pw_uid if AS_ROOT else None,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )

    assert done.returncode == 1
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
