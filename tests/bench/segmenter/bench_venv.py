"""Environments for what a benchmark is set beside: the `bench` group, installed when first asked for."""

import asyncio
import subprocess
import sys
import tomllib
from pathlib import Path

from tests.bench.segmenter.world import ROOT

DIRECTORY = ROOT / ".local/bench/venv"
INSTALL_WITHIN_S = 240.0


class NotInstalled(Exception):
    """The packages can't be had here; the message says why in a line."""


def wanted(pyproject: str) -> list[str]:
    """Return the requirements of the `bench` group."""
    group: list[str] = tomllib.loads(pyproject)["dependency-groups"]["bench"]
    return group


async def interpreter() -> Path:
    """Return a Python that has the group. Raises NotInstalled."""
    group = wanted((ROOT / "pyproject.toml").read_text())
    python, stamp = DIRECTORY / "bin/python", DIRECTORY / ".installed"
    if not (python.exists() and stamp.exists() and stamp.read_text() == "\n".join(group)):
        await _run(sys.executable, "-m", "venv", "--clear", str(DIRECTORY))
        quietly = ("--quiet", "--disable-pip-version-check", "--no-input")
        await _run(str(python), "-m", "pip", "install", *quietly, *group)
        stamp.write_text("\n".join(group))
    return python


async def _run(*command: str) -> None:
    child = await asyncio.create_subprocess_exec(
        *command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    try:
        output, _ = await asyncio.wait_for(child.communicate(), INSTALL_WITHIN_S)
    except TimeoutError:
        child.kill()
        await child.wait()
        raise NotInstalled(f"not installed within {INSTALL_WITHIN_S:.0f} s") from None
    if child.returncode != 0:
        lines = output.decode(errors="replace").strip().splitlines() or ["no reason given"]
        raise NotInstalled(lines[-1])
