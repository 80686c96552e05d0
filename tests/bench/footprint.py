"""`python -m tests.bench.footprint`: what an event, a user and a transition take up, for docs/scaling.md.

Folds events as the segmenter does, into a Postgres of its own, and asks that how much it has grown.
"""

import asyncio
import json
import random
from datetime import timedelta

import asyncpg
import msgspec

from shared.contracts.codec import encode
from shared.contracts.events import EventEnvelope
from tests import servers
from tests.integration.segmenter.kit import START, Site, event, site_on

USERS = 50_000
BATCH = 2_000
BATCHES = 25
# About 400 bytes, as an SDK sends them.
PAYLOAD = json.dumps(
    {
        "type": "track",
        "event": "Order Completed",
        "properties": {f"property_{number}": "x" * 12 for number in range(9)},
        "context": {"library": {"name": "analytics-python", "version": "2.4.0"}},
    }
).encode()
_CHILDREN = (
    "SELECT sum(pg_total_relation_size(child))::bigint FROM partitions_of($1::text::regclass)"
)


class Load:
    """Events of users drawn at random, 20 a second."""

    def __init__(self) -> None:
        self._chance = random.Random(7)
        self._sent = 0
        self.bytes = 0

    async def fold(self, site: Site, batches: int) -> None:
        for _ in range(batches):
            events = [self._event() for _ in range(BATCH)]
            self.bytes += sum(len(encode(each)) for each in events)
            await site.fold(*events, watermark=events[-1].received_at - timedelta(seconds=1))

    def _event(self) -> EventEnvelope:
        self._sent += 1
        return event(
            f"user-{self._chance.randrange(USERS):07}",
            START + timedelta(seconds=self._sent / 20),
            event_id=f"{self._chance.getrandbits(128):032x}",
            payload=msgspec.Raw(PAYLOAD),
        )


async def measure(site: Site) -> dict[str, float]:
    """Return bytes by what takes them up. The first half of the load only warms up."""
    load, owner = Load(), site.owner
    await load.fold(site, BATCHES)
    before = await _written(owner), await owner.fetchval(_CHILDREN, "events"), load.bytes
    await load.fold(site, BATCHES)
    after = await _written(owner), await owner.fetchval(_CHILDREN, "events"), load.bytes
    await owner.execute("VACUUM FULL users")
    wal, rows, log = (
        (late - early) / (BATCH * BATCHES) for early, late in zip(before, after, strict=True)
    )
    users = await owner.fetchval("SELECT pg_total_relation_size('users')")
    return {
        "record of an event in Kafka": log,
        "row of an event, with indexes": rows,
        "write-ahead log of an event": wal,
        "row of a user, with indexes": users / await site.count("users"),
        "row of a transition, with indexes": (
            await owner.fetchval(_CHILDREN, "transitions") / await site.count("transitions")
        ),
    }


async def _written(owner: "asyncpg.Connection") -> int:
    return int(await owner.fetchval("SELECT pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0')"))


async def _main(server: str, template: str) -> None:
    database = await servers.clone_database(server, template)
    try:
        async with site_on(database) as site:
            for what, size in (await measure(site)).items():
                print(f"{what:36} {size:8,.0f} bytes")
    finally:
        await servers.drop_database(server, database.name)


if __name__ == "__main__":
    with servers.postgres_server() as running, servers.template_database(running) as prepared:
        asyncio.run(_main(running, prepared))
