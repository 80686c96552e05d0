"""`ebbtide rebuild` against a system that runs: it finds what was damaged, and mends it under traffic."""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import pytest
import pytest_asyncio

from tests.system.stack import ROOT, Stack

pytestmark = [pytest.mark.system, pytest.mark.timeout(240)]

START = datetime(2026, 3, 1, 9, 0, tzinfo=UTC)
USERS = [f"user-{number}" for number in range(120)]
SECOND = timedelta(seconds=1)


@pytest_asyncio.fixture
async def stack(tmp_path: Path, postgres_url: str) -> AsyncIterator[Stack]:
    directory = tmp_path / "stack"
    async with Stack(directory, postgres=postgres_url, partitions=3, begins=START) as running:
        yield running


async def they_act(stack: Stack, when: str, *, claims: bool = False) -> None:
    """Send one event of each user, at product time now; with `claims` each brings an id along."""
    at = stack.now().isoformat()
    events = [
        {"id": f"{when}-{user}", "user_id": user, "name": "Used", "timestamp": at}
        | ({"type": "identify", "anonymous_id": f"phone-of-{user}"} if claims else {})
        for user in USERS
    ]
    events += [
        {"id": f"{when}-phone-{user}", "anonymous_id": f"phone-of-{user}", "name": "Used"}
        for user in USERS[:40]
    ]
    async with httpx.AsyncClient(timeout=30, trust_env=False) as client:
        answer = await client.post(
            f"{stack.ingest_url}/v1/events", json=events, auth=(stack.write_key, "")
        )
    assert answer.json()["accepted"] == len(events), answer.text


def begin(words: Sequence[str], environ: Mapping[str, str]) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "deploy.cli", *words],
        cwd=ROOT,
        env=environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


async def ebbtide(stack: Stack, *words: str) -> tuple[int, dict[str, Any], str]:
    """Run `ebbtide rebuild`; return its status, its result and what else was said."""
    environ = {name: value for name, value in os.environ.items() if "EBBTIDE" not in name}
    environ |= {
        "EBBTIDE_POSTGRES_DSN": stack.database.segmenter,
        "EBBTIDE_CLOCK_FILE": str(stack.clock_file),
        "EBBTIDE_WRITE_KEY": stack.write_key,
    }
    process = begin(["rebuild", "--json", *words], environ)
    printed, said = await asyncio.to_thread(process.communicate, timeout=120)
    password = stack.database.segmenter.split(":")[2].split("@")[0]
    assert password not in printed + said
    assert printed, said
    return process.returncode, json.loads(printed), said


async def some_weeks(stack: Stack) -> None:
    for week in range(4):
        await they_act(stack, f"week-{week}", claims=week == 1)
        stack.advance(timedelta(days=3 if week != 2 else 33))
    stack.advance(SECOND)
    await stack.caught_up()


async def test_damage_is_found_and_mended_while_events_come_in(
    stack: Stack, tmp_path: Path
) -> None:
    await some_weeks(stack)
    assert (await ebbtide(stack))[:2] == (
        0,
        {
            "type": "done",
            "users": len(USERS),
            "events": 4 * (len(USERS) + 40),
            "partly": 0,
            "skipped": 0,
            "users_differing": 0,
            "marks_differing": 0,
            "funnels_left_out": [],
            "differences": {},
        },
    )
    owner = await asyncpg.connect(stack.database.owner)
    await owner.execute("UPDATE users SET event_count = 1 WHERE merged_into IS NULL")
    await owner.execute("DELETE FROM transitions WHERE after = 'churned'")
    await owner.execute("UPDATE active_users SET users = users + 1 WHERE dimension = 'all'")
    report = tmp_path / "report.ndjson"

    status, found, _ = await ebbtide(stack, "--report", str(report))

    assert (status, found["users_differing"]) == (1, len(USERS))
    assert found["differences"].keys() == {"user", "transition", "active_users"}
    lines = [json.loads(line) for line in report.read_text().splitlines()]
    assert len(lines) == sum(found["differences"].values())

    swapping = asyncio.create_task(ebbtide(stack, "--swap", "--rate", "100"))
    for number in range(1, 1000):
        await they_act(stack, f"meanwhile-{number}")
        if swapping.done():
            break
    status, swapped, _ = await swapping

    assert (status, swapped["left"]) == (0, 0)
    stack.advance(SECOND)
    await stack.caught_up()
    status, again, _ = await ebbtide(stack)
    assert (status, again["differences"]) == (0, {})
    standing = await owner.fetchval(
        "SELECT count(*) FROM transitions WHERE after = 'churned' AND retracted_at IS NULL"
    )
    await owner.close()
    assert standing == len(USERS)
