"""Commands whose output is read in part, as by `head`."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from deploy.local.state import ROOT
from deploy.local.status import NOT_RUNNING


@pytest.mark.parametrize(
    ("command", "status"), [("status", NOT_RUNNING), ("stop", 0), ("clock", 0)]
)
def test_a_command_whose_reader_has_gone_ends_quietly_and_as_it_would_have(
    command: str, status: int, tmp_path: Path
) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    try:
        done = subprocess.run(
            [sys.executable, "-m", "deploy.local", command],
            env={"PATH": os.environ["PATH"], "EBBTIDE_LOCAL_DIR": str(tmp_path / "state")},
            cwd=ROOT,
            stdout=writer,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
            timeout=60,
        )
    finally:
        os.close(writer)

    assert (done.returncode, done.stderr) == (status, "")
