"""Sends events with known ids over HTTP, resends as an SDK does, and keeps a list of what was
acknowledged: the truth that the verifier starts from.
"""

import asyncio
import random
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

import httpx

from shared.clock import Clock
from tests.chaos.people import LoadPlan, People
from tests.chaos.sent import Sent

BATCH = 20
WORKERS = 4
REQUEST_S = 12.0
AGAIN_S = 0.3
# Two eras are five days: within the time for which repeats are promised to be dropped.
REPEATED_WITHIN_ERAS = 2


@dataclass
class Ledger:
    """What was sent, and what was acknowledged."""

    sent: dict[str, Sent] = field(default_factory=dict)
    acknowledged: set[str] = field(default_factory=set)
    refused: dict[str, str] = field(default_factory=dict)
    answers: dict[str, int] = field(default_factory=dict)

    def count(self, answer: str) -> None:
        self.answers[answer] = self.answers.get(answer, 0) + 1


class Load:
    """Posts batches until told to pause; every event is sent again until it is acknowledged."""

    def __init__(
        self, url: str, write_key: str, *, clock: Clock, seed: int, plan: LoadPlan
    ) -> None:
        self.ledger = Ledger()
        self.era = 0
        self._url = f"{url}/v1/events"
        self._auth = httpx.BasicAuth(write_key, "")
        self._clock = clock
        self._random = random.Random(seed)
        self._plan = plan
        self._people = People(self._random, plan)
        self._running = asyncio.Event()
        self._recent: deque[tuple[int, Sent]] = deque(maxlen=4_000)
        self._idle = 0
        self._settled = asyncio.Event()
        self._stopped = False

    async def run(self) -> None:
        """Send until stopped."""
        limits = httpx.Limits(max_connections=WORKERS, max_keepalive_connections=WORKERS)
        async with httpx.AsyncClient(
            auth=self._auth, timeout=REQUEST_S, limits=limits, trust_env=False
        ) as client:
            await asyncio.gather(*(self._work(client) for _ in range(WORKERS)))

    def resume(self) -> None:
        self._running.set()

    def stop(self) -> None:
        self._stopped = True
        self._running.set()

    async def quiet(self, *, within_s: float = 90.0) -> None:
        """Pause, and wait until everything sent so far is acknowledged. Raises TimeoutError."""
        self._running.clear()
        async with asyncio.timeout(within_s):
            await self._settled.wait()

    async def send_all(self, events: Sequence[Sent], *, batch: int = BATCH) -> None:
        """Send these events too, in order, each until it is acknowledged."""
        async with httpx.AsyncClient(auth=self._auth, timeout=REQUEST_S, trust_env=False) as client:
            for start in range(0, len(events), batch):
                await self._deliver(client, events[start : start + batch])

    async def _work(self, client: httpx.AsyncClient) -> None:
        while True:
            if not self._running.is_set():
                await self._rest()
            if self._stopped:
                return
            await self._deliver(client, self._next_batch())
            await asyncio.sleep(0.02)

    async def _rest(self) -> None:
        self._idle += 1
        if self._idle == WORKERS:
            self._settled.set()
        await self._running.wait()
        self._idle -= 1
        self._settled.clear()

    def _next_batch(self) -> list[Sent]:
        now = self._clock.now()
        batch = [self._people.acts(self.era, now) for _ in range(BATCH)]
        repeats = [
            event
            for _ in batch
            if self._recent and self._random.random() < self._plan.repeated
            for era, event in [self._random.choice(self._recent)]
            if self.era - era <= REPEATED_WITHIN_ERAS
        ]
        self.ledger.sent |= {event.event_id: event for event in batch}
        self._recent.extend((self.era, event) for event in batch)
        return batch + repeats

    async def _deliver(self, client: httpx.AsyncClient, events: Sequence[Sent]) -> None:
        self.ledger.sent |= {event.event_id: event for event in events}
        left = list(events)
        while left and not self._stopped:
            left = await self._post(client, left)
            if left:
                await asyncio.sleep(AGAIN_S)

    async def _post(self, client: httpx.AsyncClient, events: Sequence[Sent]) -> list[Sent]:
        """Send once; return what must be sent again."""
        try:
            answer = await client.post(self._url, json={"events": [each.wire() for each in events]})
        except httpx.HTTPError as error:
            self.ledger.count(type(error).__name__)
            return list(events)
        self.ledger.count(str(answer.status_code))
        if answer.status_code != httpx.codes.OK:
            return list(events)
        refused = {each["index"]: each["code"] for each in answer.json()["errors"]}
        return [
            event for index, event in enumerate(events) if self._judge(event, refused.get(index))
        ]

    def _judge(self, event: Sent, code: str | None) -> bool:
        """Note what became of one event; return whether it must be sent again."""
        if code is None or code == "duplicate":
            self.ledger.acknowledged.add(event.event_id)
        elif code in ("busy", "retry"):
            return True
        else:
            self.ledger.refused[event.event_id] = code
        return False
