"""Policies on the real system: previewed, activated and rolled back under traffic, with a process killed meanwhile."""

import asyncio
import random
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import pytest

from tests.chaos.topics import read_transitions
from tests.system.reader import Reader, reading
from tests.system.stack import Stack
from tests.unit.segmenter import oracle
from tests.unit.segmenter.oracle import DEFAULTS, Thresholds

pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]

START = datetime(2026, 3, 1, 9, 0, tzinfo=UTC)
DAY, HOUR, SECOND = timedelta(days=1), timedelta(hours=1), timedelta(seconds=1)
USERS = [f"user-{number:03}" for number in range(240)]
WHY = {"note": "a test"}
STRICT = Thresholds(10 * DAY, 2 * DAY, 5 * DAY, 20 * DAY)


@dataclass
class World:
    """The system, whatever everybody did, and since when which thresholds hold."""

    stack: Stack
    client: httpx.AsyncClient
    reader: Reader
    chance: random.Random = field(default_factory=lambda: random.Random(7))
    activity: dict[str, list[datetime]] = field(default_factory=lambda: defaultdict(list))
    quiet: asyncio.Event = field(default_factory=asyncio.Event)
    laws: list[tuple[datetime, Thresholds]] = field(default_factory=lambda: [(START, DEFAULTS)])

    async def they_act(self, acts: list[tuple[str, datetime]]) -> None:
        events = [
            {
                "id": f"{user}@{at.isoformat()}#{len(self.activity[user])}",
                "user_id": user,
                "name": "Used",
                "timestamp": at.isoformat(),
            }
            for user, at in acts
        ]
        answer = await self.client.post(
            f"{self.stack.ingest_url}/v1/events", json=events, auth=(self.stack.write_key, "")
        )
        assert answer.json()["accepted"] == len(events), answer.text
        for user, at in acts:
            self.activity[user].append(at)

    async def has_history(self) -> None:
        """Everybody did something now and then in the two months before."""
        acts = [
            (user, START - self.chance.uniform(0.1, 60) * DAY)
            for user in USERS
            for _ in range(self.chance.randint(1, 6))
        ]
        for number in range(0, len(acts), 400):
            await self.they_act(acts[number : number + 400])

    async def change(self, path: str, body: Any = None) -> Any:
        answer = await self.client.post(
            f"{self.stack.api_url}/v1/policies{path}",
            json=body,
            headers={"authorization": f"Bearer {self.stack.api_key}"},
        )
        assert answer.is_success, answer.text
        return answer.json()

    async def draft(self, rules: Thresholds) -> int:
        seconds = {
            f"{name}_s": int(getattr(rules, name).total_seconds())
            for name in ("new_for", "silent_after", "churned_after", "returned_for")
        }
        version: int = (await self.change("", seconds | WHY))["version"]
        return version

    async def activate(self, version: int, rules: Thresholds, **more: Any) -> Any:
        made = await self.change(f"/{version}/activate", WHY | more)
        self.laws.append((datetime.fromisoformat(made["activated_at"]), rules))
        return made

    async def job(self, job_id: str) -> Any:
        return await self.reader.get(f"/v1/jobs/{job_id}")

    async def done(self, job_id: str) -> Any:
        """Wait until the job is done; return its result."""
        await until(lambda: self._has_ended(job_id), within_s=120)
        job = await self.job(job_id)
        assert (job["state"], job["error"]) == ("done", None)
        return job["result"]

    async def _has_ended(self, job_id: str) -> bool:
        return (await self.job(job_id))["state"] in ("done", "failed")

    async def check_everybody(self, now: datetime) -> None:
        """Compare each user's history with what the definition says of what they did."""
        found = await self.reader.histories()
        assert found.keys() == self.activity.keys()
        for user, activity in self.activity.items():
            changes = oracle.history_under(activity, self.laws, now)
            assert [each for each in found[user] if each[0] <= now] == [
                (at, after) for at, _, after in changes
            ], user


async def until(holds: Callable[[], Awaitable[bool]], *, within_s: float) -> None:
    loop = asyncio.get_running_loop()
    began = loop.time()
    while not await holds():
        assert loop.time() - began < within_s, "it never held"
        await asyncio.sleep(0.05)


@asynccontextmanager
async def world(directory: Path, postgres: str, **options: Any) -> AsyncIterator[World]:
    async with (
        Stack(directory / "stack", postgres=postgres, begins=START, **options) as stack,
        httpx.AsyncClient(timeout=60, trust_env=False) as client,
        reading(stack.api_url, stack.api_key) as reader,
    ):
        made = World(stack, client, reader)
        await made.has_history()
        stack.advance(SECOND)
        await stack.caught_up()
        yield made


async def test_a_preview_says_how_many_change_and_then_they_do(
    tmp_path: Path, postgres_url: str
) -> None:
    async with world(tmp_path, postgres_url, partitions=4) as here:
        before = await here.reader.lifecycles()
        version = await here.draft(STRICT)
        preview = await here.done((await here.change(f"/{version}/preview"))["job_id"])
        assert await here.reader.lifecycles() == before

        made = await here.activate(version, STRICT)
        applied = await here.done(made["job_id"])
        here.stack.advance(SECOND)
        await here.stack.caught_up()

        after = await here.reader.lifecycles()
        moves = Counter((before[user], after[user]) for user in USERS)
        cells = {(each["before"], each["after"]): each["users"] for each in preview["cells"]}
        assert cells == moves
        assert preview["users"] == applied["users"] == len(USERS)
        assert preview["changed"] == sum(n for (was, becomes), n in moves.items() if was != becomes)
        assert preview["changed"] > len(USERS) / 10
        await here.check_everybody(here.stack.now() - SECOND / 2)


async def test_everybody_ends_right_whatever_is_activated_and_killed_under_traffic(
    tmp_path: Path, postgres_url: str
) -> None:
    slowly = {"EBBTIDE_SEGMENTER_POLICY_USERS_PER_S": "25"}
    async with world(tmp_path, postgres_url, partitions=4, segmenters=2, settings=slowly) as here:
        traffic = asyncio.create_task(they_go_on(here))
        try:
            strict = await here.activate(await here.draft(STRICT), STRICT, force=True)
            killed = await kill_whoever_applies(here, strict["job_id"])
            await here.done(strict["job_id"])
            await here.stack.start_service(killed)
            back = await here.change("/1/rollback", WHY)
            here.laws.append((datetime.fromisoformat(back["activated_at"]), DEFAULTS))
            await here.done(back["job_id"])
        finally:
            here.quiet.set()
            await traffic
        end = here.stack.now() + 3 * DAY
        here.stack.drive(end)
        await here.stack.caught_up(end - SECOND)

        users = await here.reader.everything("users")
        assert {user["policy_version"] for user in users} == {3}
        await here.check_everybody(end - SECOND)
        assert await published_is_what_stands(here)


async def they_go_on(here: World) -> None:
    """Some act, some of it late, and time passes."""
    while not here.quiet.is_set():
        here.stack.advance(2 * HOUR)
        now = here.stack.now()
        acting = here.chance.sample(USERS, 12)
        late = [now - here.chance.uniform(0, 10) * DAY for _ in acting[:3]]
        await here.they_act(list(zip(acting, [*late, *[now] * 9], strict=True)))
        await asyncio.sleep(0.2)


async def kill_whoever_applies(here: World, job_id: str) -> str:
    """Wait until the pass is under way, and kill -9 the process that makes it; return its name."""

    async def is_under_way() -> bool:
        return bool((await here.job(job_id))["progress"]["done"])

    await until(is_under_way, within_s=60)
    connection = await asyncpg.connect(here.stack.database.owner)
    try:
        worker = await connection.fetchval("SELECT worker FROM jobs WHERE job_id = $1", job_id)
    finally:
        await connection.close()
    [name] = [
        each
        for each in ("segmenter", "segmenter-2")
        if worker.rsplit("-", 2)[1] == str(here.stack.pid(each))
    ]
    here.stack.kill(name)
    job = await here.job(job_id)
    assert job["state"] == "running"
    assert job["progress"]["done"] < len(USERS)
    return name


async def published_is_what_stands(here: World) -> bool:
    """Say whether whoever follows the topic ends with the transitions that stand in the table.

    Each is written before it is retracted; a relay that was killed may have sent some once more.
    """
    follower: set[str] = set()
    told = await asyncio.to_thread(read_transitions, here.stack.bootstrap)
    for transition_id, status in dict.fromkeys(told):
        if status == "written":
            follower.add(transition_id)
        else:
            follower.remove(transition_id)
    standing = await here.reader.everything("transitions")
    return follower == {row["transition_id"] for row in standing}
