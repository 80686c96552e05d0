"""The programs of a run that are not the system: load generators and raw limits, each by itself."""

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from deploy.local import children, ports

PROGRAM_WITHIN_S = 60.0


async def run(module: str, *, python: object = sys.executable, **options: object) -> dict[str, Any]:
    """Run `python -m tests.bench.<module>` and return what it prints."""
    words = [f"--{name}={value}" for name, value in options.items()]
    child = await asyncio.create_subprocess_exec(
        str(python), "-m", f"tests.bench.{module}", *words, stdout=subprocess.PIPE
    )
    try:
        output, _ = await asyncio.wait_for(child.communicate(), PROGRAM_WITHIN_S)
    finally:
        if child.returncode is None:
            child.kill()
            await child.wait()
    if child.returncode != 0:
        raise RuntimeError(f"{module} ended with status {child.returncode}")
    printed: dict[str, Any] = json.loads(output)
    return printed


@asynccontextmanager
async def bare_server(log: Path) -> AsyncIterator[int]:
    """Run the bare HTTP server, and give its port."""
    port = ports.any_free()
    child = children.spawn(
        [sys.executable, "-m", "tests.bench.bare_app", f"--port={port}"], log=log
    )
    try:
        await asyncio.to_thread(
            children.wait_until,
            lambda: children.listens(port),
            child=child,
            what="the bare server",
            log=log,
            within_s=20.0,
        )
        yield port
    finally:
        children.end(child, within_s=5.0)
