"""A funnel defined while events come, its back-fill killed: in the end it counts what a brute oracle counts."""

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import httpx
import pytest

from tests.system.stack import Stack
from tests.unit.segmenter import funnel_oracle
from tests.unit.segmenter.funnel_oracle import Happened

pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]

START = datetime(2026, 3, 15, 12, tzinfo=UTC)
SECOND = timedelta(seconds=1)
WINDOW = timedelta(days=4)
STEPS: list[dict[str, Any]] = [
    {"event": "Product Viewed"},
    {"event": "Plan Chosen", "conditions": [{"property": "plan", "equals": "pro"}]},
    {"event": "Order Completed", "type": "track"},
]
USERS = 450
EVENTS = 4_500
PADDING = 1_500  # bytes of an event: the log must take long enough to be walked
_MICROSECOND = timedelta(microseconds=1)


def plan(seed: int) -> list[dict[str, Any]]:
    """Return events of ten days in any order: nearly steps, steps, and others."""
    draw = random.Random(seed)
    events = []
    for number in range(EVENTS):
        name = draw.choice(["Product Viewed", "Plan Chosen", "Order Completed", "Clicked"])
        plan = draw.choice(["pro", "pro", "free", None])
        padding = draw.randbytes(PADDING // 2).hex()
        happened = START - timedelta(minutes=draw.randrange(1, 14_400))
        events.append(
            {
                "id": f"event-{number}",
                "user_id": f"user-{draw.randrange(USERS)}",
                "type": draw.choice(["track", "track", "track", "screen"]),
                "name": name,
                "timestamp": happened.isoformat(),
                "properties": {"padding": padding} | ({} if plan is None else {"plan": plan}),
            }
        )
    return events


def steps_of(event: dict[str, Any]) -> int:
    """Return which steps the event is, by the words of the definition."""
    if event["name"] == "Product Viewed":
        return 1
    if event["name"] == "Plan Chosen":
        return 2 if event["properties"].get("plan") == "pro" else 0
    return 4 if event["name"] == "Order Completed" and event["type"] == "track" else 0


def expected(events: Sequence[dict[str, Any]]) -> dict[str, list[int]]:
    """Return day → how many users made the first step, the first two, and all three."""
    users: dict[str, set[Happened]] = {}
    epoch = datetime(1970, 1, 1, tzinfo=UTC)
    for event in events:
        if steps := steps_of(event):
            at = (datetime.fromisoformat(event["timestamp"]) - epoch) // _MICROSECOND
            users.setdefault(event["user_id"], set()).add(Happened(at, steps, event["id"]))
    cells = funnel_oracle.cells(
        funnel_oracle.depths(
            happened,
            steps=len(STEPS),
            window=WINDOW // _MICROSECOND,
            day_of=lambda at: at // (86_400 * 1_000_000),
        )
        for happened in users.values()
    )
    days = sorted({day for day, _ in cells})
    return {
        str((epoch + timedelta(days=day)).date()): [
            cells.get((day, step), 0) for step in range(1, len(STEPS) + 1)
        ]
        for day in days
    }


async def send(stack: Stack, events: Sequence[dict[str, Any]], *, batch: int) -> None:
    """Send the events, some of them twice."""
    draw = random.Random(7)
    async with httpx.AsyncClient(timeout=60, trust_env=False) as client:
        for start in range(0, len(events), batch):
            several = list(events[start : start + batch])
            answer = await client.post(
                f"{stack.ingest_url}/v1/events",
                auth=(stack.write_key, ""),
                json=[*several, *draw.choices(events[: start + batch], k=batch // 5)],
            )
            assert answer.status_code == 200, answer.text


async def counted(api: httpx.AsyncClient, funnel: int) -> dict[str, list[int]]:
    answer = await api.get(f"/v1/funnels/{funnel}/conversions", params={"from": "2026-03-01"})
    return {day["day"]: [step["users"] for step in day["reached"]] for day in answer.json()["days"]}


async def in_the_middle(api: httpx.AsyncClient, funnel: int) -> float:
    """Wait until a part of the event log is counted, and return how much."""
    while True:
        shown = (await api.get(f"/v1/funnels/{funnel}")).json()
        assert shown["state"] == "backfilling", "the back-fill was over before it could be killed"
        if 0 < shown["progress"]["percent"] < 99:
            return float(shown["progress"]["percent"])


async def is_live(api: httpx.AsyncClient, funnel: int) -> bool:
    shown = (await api.get(f"/v1/funnels/{funnel}")).json()
    return bool(shown["state"] == "live")


async def is_gone(stack: Stack) -> bool:
    """Say whether nothing is stored for any funnel."""
    owner = await asyncpg.connect(stack.database.owner)
    try:
        rows = await owner.fetchval(
            "SELECT (SELECT count(*) FROM funnel_users) + (SELECT count(*) FROM funnel_counts)"
            " + (SELECT count(*) FROM funnels)"
        )
    finally:
        await owner.close()
    return bool(rows == 0)


async def until(holds: Callable[[], Awaitable[bool]], *, within_s: float = 90.0) -> None:
    deadline = asyncio.get_running_loop().time() + within_s
    while not await holds():
        assert asyncio.get_running_loop().time() < deadline
        await asyncio.sleep(0.2)


async def test_a_funnel_defined_under_traffic_and_killed_in_its_back_fill_counts_exactly(
    stack: Stack,
) -> None:
    events = plan(seed=3)
    before, meanwhile = events[: EVENTS * 2 // 3], events[EVENTS * 2 // 3 :]
    headers = {"authorization": f"Bearer {stack.api_key}"}
    async with httpx.AsyncClient(
        base_url=stack.api_url, headers=headers, timeout=30, trust_env=False
    ) as api:
        await send(stack, before, batch=500)
        stack.drive(START + SECOND)
        await stack.caught_up(START)

        definition = {"name": "plans", "steps": STEPS, "window_s": int(WINDOW.total_seconds())}
        made = await api.post("/v1/funnels", json=definition)
        assert made.status_code == 201, made.text
        funnel = made.json()["funnel_id"]
        traffic = asyncio.create_task(send(stack, meanwhile, batch=50))
        await in_the_middle(api, funnel)
        stack.kill("segmenter")
        assert (await api.get(f"/v1/funnels/{funnel}")).json()["state"] == "backfilling"
        await stack.start_service("segmenter")
        await traffic
        await until(lambda: is_live(api, funnel))
        stack.drive(START + 2 * SECOND)
        await stack.caught_up(START + SECOND)

        wanted = await asyncio.to_thread(expected, events)
        assert await counted(api, funnel) == wanted
        assert sum(reached[-1] for reached in wanted.values()) > 50  # there was something to count

        assert (await api.delete(f"/v1/funnels/{funnel}")).status_code == 202
        assert (await api.get(f"/v1/funnels/{funnel}")).status_code == 404
        await until(lambda: is_gone(stack))
