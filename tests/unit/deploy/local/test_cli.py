"""What a person reads when a command can't do its work."""

import os
from pathlib import Path

import pytest

from deploy.local.cli import main
from deploy.local.errors import not_permitted


def test_files_of_another_account_are_named_with_what_to_do() -> None:
    said = not_permitted(PermissionError(13, "Permission denied", "/there/run.json"))

    assert said.startswith("/there/run.json: Permission denied. It belongs to another account")
    assert "make down" in said
    assert "EBBTIDE_LOCAL_DIR" in said


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_closed_directory_is_one_line_and_no_traceback(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o000)
    monkeypatch.setenv("EBBTIDE_LOCAL_DIR", str(closed / "state"))

    assert main(["clock", "set", "2090-01-01T00:00:00Z"]) == 1

    assert "belongs to another account" in capsys.readouterr().err
