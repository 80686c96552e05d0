"""`python -m deploy.demo` against a running system: its own account and Ebbtide's are the same."""

import asyncio
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from itertools import takewhile
from pathlib import Path

import pytest
from confluent_kafka import Consumer, TopicPartition

from deploy.demo.truth import LIFECYCLES
from deploy.local import children
from deploy.local.state import State
from shared.contracts import topics
from shared.contracts.codec import decode_feedback
from tests.system.local_run import START_S, STOP_S, LocalRun, alive, family, until
from tests.system.progress import end_offsets
from tests.system.reader import reading
from tests.system.stack import ROOT, Stack

pytestmark = [pytest.mark.system, pytest.mark.timeout(240)]

PEOPLE = 300
DEMO_S = 180.0
CHINESE = re.compile(r"[\u4e00-\u9fff]")


def environment(stack: Stack) -> Mapping[str, str]:
    kept = {name: value for name, value in os.environ.items() if "EBBTIDE" not in name}
    return kept | {
        "EBBTIDE_DEMO_INGEST_URL": stack.ingest_url,
        "EBBTIDE_DEMO_API_URL": stack.api_url,
        "EBBTIDE_DEMO_WRITE_KEY": stack.write_key,
        "EBBTIDE_DEMO_API_KEY": stack.api_key,
        "COLUMNS": "120",
    }


def demo(environ: Mapping[str, str], *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "deploy.demo", *words],
        env=dict(environ),
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=DEMO_S,
    )


def tables(said: str) -> list[dict[str, list[int]]]:
    """Return the numbers of each table printed: lifecycle → (says, before, true, difference)."""
    found: list[dict[str, list[int]]] = []
    for line in said.splitlines():
        first, *cells = [cell.strip() for cell in line.strip("│ ").split("│")]
        if line.startswith("┡"):
            found.append({})
        if first in LIFECYCLES:
            found[-1][first] = [int(cell.replace(",", "")) for cell in cells]
    return found


def texts(bootstrap: str) -> list[str]:
    """Return the texts in the feedback topic, read with another client than the services'."""
    ends = end_offsets(bootstrap, topics.FEEDBACK.name)
    client = Consumer({"bootstrap.servers": bootstrap, "group.id": "test", "fetch.wait.max.ms": 50})
    try:
        client.assign([TopicPartition(topics.FEEDBACK.name, part, 0) for part in ends])
        polled = (client.poll(10.0) for _ in range(sum(ends.values())))
        values = [each.value() for each in takewhile(lambda each: each is not None, polled) if each]
    finally:
        client.close()
    assert len(values) == sum(ends.values())
    return [decode_feedback(value).text for value in values if value is not None]


async def test_the_demo_fills_every_lifecycle_and_its_own_account_agrees(stack: Stack) -> None:
    words = ("--users", str(PEOPLE), "--months", "6", "--no-live")

    done = await asyncio.to_thread(demo, environment(stack), *words)

    assert done.returncode == 0, done.stdout + done.stderr
    [table] = tables(done.stdout)
    assert table.keys() == set(LIFECYCLES)
    assert all(says > 0 for says, *_ in table.values()), table
    assert [difference for *_, difference in table.values()] == [0] * len(LIFECYCLES), table
    assert sum(says for says, *_ in table.values()) == PEOPLE
    async with reading(stack.api_url, stack.api_key) as reader:
        assert len(await reader.lifecycles()) == PEOPLE
    said = await asyncio.to_thread(texts, stack.bootstrap)
    in_chinese = [text for text in said if CHINESE.search(text)]
    assert 0 < len(in_chinese) < len(said)
    assert stack.write_key not in done.stdout


async def test_a_second_run_with_live_traffic_tells_its_people_from_those_of_the_first(
    stack: Stack,
) -> None:
    environ = environment(stack)
    await asyncio.to_thread(demo, environ, "--users", "40", "--months", "2", "--no-live")

    words = ("--users", "40", "--months", "2", "--rate", "40", "--seconds", "4")
    done = await asyncio.to_thread(demo, environ, *words)

    assert done.returncode == 0, done.stdout + done.stderr
    after_history, at_the_end = tables(done.stdout)
    for table in (after_history, at_the_end):
        assert sum(before for _, before, _, _ in table.values()) == 40
        assert [difference for *_, difference in table.values()] == [0] * len(LIFECYCLES), table
    assert sum(says for says, *_ in at_the_end.values()) >= 80


def test_without_all_its_addresses_it_says_which_are_missing(tmp_path: Path) -> None:
    environ = {"PATH": os.environ["PATH"], "HOME": str(tmp_path)}

    done = demo({**environ, "EBBTIDE_DEMO_API_URL": "http://127.0.0.1:1"})

    assert done.returncode == 1
    assert "EBBTIDE_DEMO_INGEST_URL, EBBTIDE_DEMO_WRITE_KEY, EBBTIDE_DEMO_API_KEY" in done.stderr
    assert "Traceback" not in done.stderr


async def test_the_system_of_a_replay_ends_with_it_and_down_deletes_it(tmp_path: Path) -> None:
    run = LocalRun(tmp_path)
    system = State(State(run.state).cdnow)
    words = [sys.executable, "-m", "deploy.demo", "--data", "cdnow", "--sample"]
    replay = children.spawn(words, log=run.output, env=run.environment(), cwd=ROOT)
    try:
        await until(
            lambda: system.read_run() or replay.poll() is not None, START_S, run.output.read_text
        )
        info = system.read_run()
        assert info is not None, run.said()
        assert "make stop" not in run.said()
        started = family(info.pids["supervisor"])
        assert len(started) > 7

        replay.kill()
        replay.wait()

        await until(lambda: not alive(started), STOP_S, lambda: alive(started))
    finally:
        children.end(replay)
        run.clear()
    assert not system.directory.exists()
