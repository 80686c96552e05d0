"""An operator who defines funnels and changes policies by the api while everything breaks.

Asks again until it is done, and first looks whether an answer that was lost had been a yes. What it
was told is the truth that the verifier starts from.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any

import httpx

from tests.chaos.oracle import FIRST, Rules
from tests.chaos.people import STEPS

REQUEST_S = 12.0
AGAIN_S = 0.3
APART_S = (4.0, 9.0)
WINDOW = timedelta(days=3)
_DAY = timedelta(days=1)
STRICT = Rules(10 * _DAY, 4 * _DAY, 12 * _DAY, 5 * _DAY)
LENIENT = Rules(3 * _DAY, 9 * _DAY, 45 * _DAY, 10 * _DAY)
POLICIES = (STRICT, FIRST, LENIENT)
FUNNELS_EVERY = 3

Change = Callable[[str], Awaitable[None]]


class Operator:
    """Changes one thing after the other. Whoever takes back what was stored holds `still`."""

    def __init__(self, url: str, api_key: str, *, seed: int) -> None:
        self.still = asyncio.Lock()
        self.funnels: dict[str, int] = {}
        self.activated: dict[int, tuple[datetime, Rules]] = {}
        self._draw = random.Random(seed)
        self._stopping = asyncio.Event()
        self._client = httpx.AsyncClient(
            base_url=f"{url}/v1",
            headers={"authorization": f"Bearer {api_key}"},
            timeout=REQUEST_S,
            trust_env=False,
        )

    async def run(self) -> None:
        """Change things until told to stop; the last change is made whole."""
        number = 0
        async with self._client:
            while not self._stopping.is_set():
                is_funnel = number % FUNNELS_EVERY == 0
                await self._insist(self._define if is_funnel else self._activate, f"n{number}")
                number += 1
                with suppress(TimeoutError):
                    async with asyncio.timeout(self._draw.uniform(*APART_S)):
                        await self._stopping.wait()

    def stop(self) -> None:
        self._stopping.set()

    async def _insist(self, change: Change, note: str) -> None:
        async with self.still:
            while True:
                # No answer, one that says no, or one that is not the api's own.
                with suppress(httpx.HTTPError):
                    return await change(note)
                await asyncio.sleep(AGAIN_S)

    async def _define(self, name: str) -> None:
        known = await self._get("/funnels")
        found = [each for each in known["funnels"] if each["name"] == name]
        steps = [{"event": event} for event in STEPS]
        wanted = {"name": name, "steps": steps, "window_s": int(WINDOW.total_seconds())}
        made = found[0] if found else await self._post("/funnels", wanted)
        self.funnels[name] = made["funnel_id"]

    async def _activate(self, note: str) -> None:
        rules = POLICIES[len(self.activated) % len(POLICIES)]
        known = (await self._get("/policies"))["policies"]
        drafts = [each for each in known if each["note"] == note]
        if not drafts:
            drafts = [await self._post("/policies", rules.wire() | {"note": note})]
        draft = max(drafts, key=lambda each: each["activated_at"] or "")
        if draft["activated_at"] is None:
            body = {"note": note, "force": True}
            draft = await self._post(f"/policies/{draft['version']}/activate", body)
        at = datetime.fromisoformat(draft["activated_at"])
        self.activated[draft["version"]] = at, rules

    async def _get(self, path: str) -> Any:
        return (await self._client.get(path)).raise_for_status().json()

    async def _post(self, path: str, body: Any) -> Any:
        return (await self._client.post(path, json=body)).raise_for_status().json()
