"""From the POST of a new user's first event to the tier that the api shows, under a steady load."""

import asyncio
import time
from http import HTTPStatus
from uuid import uuid4

from shared.clock import SystemClock
from tests.bench.http_client import Link, connect, get, post
from tests.bench.load import basic, event

PROBES = 150
EVERY_S = 0.1
LOOK_EVERY_S = 0.003
GIVE_UP_S = 20.0
HOST = "127.0.0.1"


class Probe:
    """Posts one new user's event after the other, and looks each up until it is there."""

    def __init__(self, *, ingest: int, api: int, write_key: str, api_key: str) -> None:
        self._ports = (ingest, api)
        self._write = basic(write_key)
        self._read = f"Bearer {api_key}"
        self._clock = SystemClock()

    async def took_ms(self) -> list[float]:
        """Return how long each took, in milliseconds."""
        ingest, api = [await connect(HOST, port) for port in self._ports]
        try:
            return [await self._once(ingest, api) for _ in range(PROBES)]
        finally:
            ingest.close()
            api.close()

    async def _once(self, ingest: Link, api: Link) -> float:
        await asyncio.sleep(EVERY_S)
        user = f"probe-{uuid4().hex}"
        at = self._clock.now().isoformat(timespec="milliseconds")
        body = f'{{"batch":[{event(identity=user, user=user, at=at)}]}}'.encode()
        begun = time.monotonic()
        answer = await ingest.ask(
            post("/v1/batch", host=HOST, authorization=self._write, body=body)
        )
        if answer.status != HTTPStatus.OK:
            raise RuntimeError(f"ingest answered {answer.status}: {answer.body!r}")
        look = get(f"/v1/users/{user}", host=HOST, authorization=self._read)
        async with asyncio.timeout(GIVE_UP_S):
            while (answer := await api.ask(look)).status != HTTPStatus.OK:
                if answer.status != HTTPStatus.NOT_FOUND:
                    raise RuntimeError(f"the api answered {answer.status}: {answer.body!r}")
                await asyncio.sleep(LOOK_EVERY_S)
        return 1_000 * (time.monotonic() - begun)
