"""Reads the lifecycle counts from the api, and waits until they are up to date."""

import time
from dataclasses import dataclass
from datetime import datetime
from types import TracebackType
from typing import Any, Self

import httpx

POLL_S = 0.2


class NotUpToDate(Exception):
    """The numbers did not get up to date in time."""


@dataclass(frozen=True, slots=True)
class Tiers:
    """Users per lifecycle, right as of an instant of product time."""

    counts: dict[str, int]
    as_of: datetime | None
    waiting: int


class TierReader:
    """The api, as a dashboard sees it."""

    def __init__(self, url: str, api_key: str) -> None:
        self._client = httpx.Client(
            base_url=url,
            headers={"authorization": f"Bearer {api_key}"},
            timeout=30.0,
            trust_env=False,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        self._client.close()

    def read(self) -> Tiers:
        answer = self._client.get("/v1/tiers")
        answer.raise_for_status()
        body: dict[str, Any] = answer.json()
        as_of = body["as_of"]
        return Tiers(
            body["lifecycle"],
            None if as_of is None else datetime.fromisoformat(as_of),
            body["lag"]["events"],
        )

    def read_as_of(self, instant: datetime, *, within_s: float = 120.0) -> Tiers:
        """Return the counts once all that was received by the instant is in them."""
        deadline = time.monotonic() + within_s
        while True:
            tiers = self.read()
            if tiers.as_of is not None and tiers.as_of >= instant:
                return tiers
            if time.monotonic() > deadline:
                raise NotUpToDate(f"the numbers are as of {tiers.as_of}, wanted {instant}")
            time.sleep(POLL_S)
