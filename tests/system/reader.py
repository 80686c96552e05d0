"""Reads everything from the api, page by page, as a dashboard would."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any

import httpx

PAGE = 500


class Reader:
    """The api, seen from outside."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self._client = client

    async def get(self, path: str, **wanted: Any) -> Any:
        answer = await self._client.get(path, params=wanted)
        answer.raise_for_status()
        return answer.json()

    async def everything(self, listing: str, **wanted: Any) -> list[Any]:
        """Return the rows of all pages of `/v1/<listing>`."""
        rows: list[Any] = []
        cursor: str | None = None
        while True:
            more = {} if cursor is None else {"cursor": cursor}
            page = await self.get(f"/v1/{listing}", limit=PAGE, **wanted, **more)
            rows += page[listing]
            cursor = page["next_cursor"]
            if cursor is None:
                return rows

    async def lifecycles(self) -> dict[str, str]:
        """Return user → lifecycle."""
        return {user["user_id"]: user["lifecycle"] for user in await self.everything("users")}

    async def histories(self) -> dict[str, list[tuple[datetime, str]]]:
        """Return user → the transitions that stand, each with the lifecycle it led to."""
        found: dict[str, list[tuple[datetime, str]]] = {}
        for row in await self.everything("transitions", order="oldest"):
            change = datetime.fromisoformat(row["at"]), row["after"]
            found.setdefault(row["user_id"], []).append(change)
        return found


@asynccontextmanager
async def reading(url: str, key: str) -> AsyncIterator[Reader]:
    headers = {"authorization": f"Bearer {key}"}
    async with httpx.AsyncClient(
        base_url=url, headers=headers, timeout=30, trust_env=False
    ) as client:
        yield Reader(client)
