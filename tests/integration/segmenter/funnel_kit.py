"""What the tests of funnels share: definitions, events that are steps, and cells to compare."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

import msgspec

from services.segmenter.domain.funnel import Funnels
from services.segmenter.domain.funnel_depth import DayOf
from services.segmenter.outbound.funnel_log import PostgresFunnelLog
from services.segmenter.outbound.funnel_store import PostgresFunnelStore
from services.segmenter.usecases.backfill_funnel import backfill_step, read_cursor, write_cursor
from services.segmenter.usecases.fold_funnels import Counting, fold_funnels
from shared.contracts.events import EventEnvelope
from shared.database.connection import Connection
from tests.integration.segmenter.kit import event
from tests.unit.segmenter import funnel_oracle
from tests.unit.segmenter.funnel_oracle import Happened

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)
NAMES = ("Viewed", "Added", "Ordered")
Cells = dict[tuple[date, int], int]


def day_of(at: int) -> int:
    """Return the day in UTC, as the calendar numbers days."""
    return EPOCH.toordinal() + at // 86_400_000_000


async def define(
    connection: Connection, *, steps: Iterable[Mapping[str, Any]] = (), window: timedelta = HOUR
) -> int:
    """Define a funnel as the api does and return its id."""
    given = list(steps) or [{"event": name} for name in NAMES]
    async with connection.transaction():
        await connection.execute("UPDATE funnels_version SET version = gen_random_uuid()")
        made: int = await connection.fetchval(
            """
            INSERT INTO funnels (name, steps, window_s, created_at)
            VALUES (gen_random_uuid()::text, $1::jsonb, $2, now()) RETURNING funnel_id
            """,
            json.dumps(given),
            int(window.total_seconds()),
        )
    return made


async def counting_on(connection: Connection, *, shard: int = 0) -> Counting:
    _, funnels = await PostgresFunnelStore(connection).definitions()
    return Counting(Funnels(funnels), day_of, shard)


def step(user_id: str, at: datetime, name: str, **more: Any) -> EventEnvelope:
    """Return an event that is a step by its name; `properties` are its payload's."""
    properties = more.pop("properties", None)
    if properties is not None:
        more["payload"] = msgspec.Raw(msgspec.json.encode({"properties": properties}))
    given = {"event_id": f"{user_id} {name} {at.isoformat()}"} | more
    return event(user_id, at, name=name, **given)


def expected(
    events: Iterable[EventEnvelope],
    *,
    window: timedelta = HOUR,
    merged: Mapping[str, str] | None = None,
) -> Cells:
    """Return the cells that the definition asks for, of a funnel with the three names as steps."""
    users: dict[str, set[Happened]] = {}
    for each in events:
        if each.name not in NAMES:
            continue
        at = (each.timestamp - EPOCH) // timedelta(microseconds=1)
        user = (merged or {}).get(each.user_id, each.user_id)
        happened = Happened(at, 1 << NAMES.index(each.name), f"{each.source} {each.event_id}")
        users.setdefault(user, set()).add(happened)
    cells = funnel_oracle.cells(
        funnel_oracle.depths(
            happened,
            steps=len(NAMES),
            window=window // timedelta(microseconds=1),
            day_of=day_of,
        )
        for happened in users.values()
    )
    return {(date.fromordinal(day), number): count for (day, number), count in cells.items()}


async def cells_of(connection: Connection, funnel_id: int) -> Cells:
    rows = await connection.fetch(
        """
        SELECT day, step, sum(users)::bigint AS users FROM funnel_counts
        WHERE funnel_id = $1 GROUP BY day, step HAVING sum(users) <> 0
        """,
        funnel_id,
    )
    return {(row["day"], row["step"]): row["users"] for row in rows}


async def append(
    connection: Connection, events: Sequence[EventEnvelope], *, shard: int = 0
) -> None:
    """Do to the log and the funnels what a lane does in one transaction, which must be open."""
    for each in events:
        await connection.execute(
            """
            INSERT INTO events (source, event_id, received_at, user_id, type, name, "timestamp", part,
                                kafka_offset, payload)
            VALUES ($1, $2, $3, $4, $5, $6, $7, 0, 0, $8)
            """,
            each.source,
            each.event_id,
            each.received_at,
            each.user_id,
            each.type.value,
            each.name,
            each.timestamp,
            bytes(each.payload).decode(),
        )
    counting = await counting_on(connection, shard=shard)
    await fold_funnels(events, counting, store=PostgresFunnelStore(connection))


async def make_room(owner: Connection, events: Iterable[EventEnvelope]) -> None:
    for received in {each.received_at.date() for each in events}:
        await owner.execute("SELECT ensure_events_partition($1)", received)


@dataclass
class Backfill:
    """A back-fill driven by hand: each step in a transaction, its cursor as text in between."""

    connection: Connection
    funnel_id: int
    cursor: str | None = None
    over: bool = False
    waits: bool = False
    day_of: DayOf = day_of

    async def step(self) -> None:
        async with self.connection.transaction():
            stepped = await backfill_step(
                self.funnel_id,
                None if self.cursor is None else read_cursor(self.cursor),
                log=PostgresFunnelLog(self.connection),
                store=PostgresFunnelStore(self.connection),
                day_of=self.day_of,
            )
        self.over, self.waits = stepped.cursor is None, stepped.waits
        self.cursor = None if stepped.cursor is None else write_cursor(stepped.cursor).decode()

    async def run(self) -> None:
        while not self.over:
            await self.step()
