"""Rebuilds of a site's database: what they say, and how they end."""

import asyncio
import io
import json
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from services.segmenter.inbound.rebuild_lines import Lines
from services.segmenter.outbound.rebuild_shadow import PostgresShadow
from services.segmenter.rebuild import Asked, Rebuild, RebuildSettings
from shared.configuration import load
from tests.integration.segmenter.kit import ZONE, Site

ROOT = Path(__file__).parents[3]


@dataclass(frozen=True)
class Said:
    """The lines of a rebuild that ended."""

    status: int
    lines: list[dict[str, Any]]

    @property
    def differences(self) -> list[dict[str, Any]]:
        return [line for line in self.lines if line["type"] == "difference"]

    @property
    def kinds(self) -> dict[str, int]:
        return dict(Counter(line["kind"] for line in self.differences))

    @property
    def end(self) -> dict[str, Any]:
        return self.lines[-1]


async def rebuilt(
    site: Site,
    *user_ids: str,
    swap: bool = False,
    zone: str | None = None,
    shadow: type[PostgresShadow] = PostgresShadow,
) -> Said:
    """Rebuild within this process."""
    settings = load(RebuildSettings, service="segmenter", environ=environ_of(site))
    out = io.StringIO()
    asked = Asked(swap=swap, user_ids=user_ids or None, rate=1e6, zone=zone)
    status = await Rebuild(settings, asked, Lines(out, clock=time.monotonic), shadow=shadow).run()
    return Said(status, [json.loads(line) for line in out.getvalue().splitlines()])


@asynccontextmanager
async def beside(go_on: Callable[[int], Awaitable[None]]) -> AsyncIterator[None]:
    """Go on, turn after turn, until the end of the block; in it more than three turns must find their place."""
    ended = asyncio.Event()

    async def turns() -> int:
        done = 0
        while not ended.is_set() or done < 3:
            await go_on(done)
            done += 1
            await asyncio.sleep(0)
        return done

    going_on = asyncio.create_task(turns())
    try:
        yield
    finally:
        ended.set()
        assert await going_on > 3


def environ_of(site: Site) -> dict[str, str]:
    return {
        "EBBTIDE_POSTGRES_DSN": site.database.segmenter,
        "EBBTIDE_PRODUCT_ZONE": str(ZONE),
    }


def begin(site: Site, *words: str) -> subprocess.Popen[str]:
    """Start a rebuild as the program that it is."""
    return _start("services.segmenter.rebuild", site, *words)


def begin_command(site: Site, *words: str) -> subprocess.Popen[str]:
    """Start `ebbtide rebuild`, which starts the program."""
    return _start("deploy.cli", site, "rebuild", *words)


def _start(module: str, site: Site, *words: str) -> subprocess.Popen[str]:
    environ = {name: value for name, value in os.environ.items() if "EBBTIDE" not in name}
    return subprocess.Popen(
        [sys.executable, "-m", module, *words],
        cwd=ROOT,
        env=environ | environ_of(site),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
