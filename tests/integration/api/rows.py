"""Rows as the services write them, put in by the database's owner."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import asyncpg

from shared.contracts import topics

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
GROUP = "segmenter"


@asynccontextmanager
async def connected(dsn: str) -> AsyncIterator[Any]:
    connection = await asyncpg.connect(dsn)
    try:
        yield connection
    finally:
        await connection.close()


class Rows:
    """Puts rows in, each with values that a test may replace."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    async def user(self, user_id: str, **given: Any) -> None:
        values = {
            "user_id": user_id,
            "part": 0,
            "first_seen": NOON - timedelta(days=3),
            "last_seen": NOON,
            "span_start": NOON - timedelta(days=3),
            "lifecycle": "active",
            "lifecycle_since": NOON,
            "deadline": None,
            "deadline_to": None,
            "event_count": 5,
            "known_at": NOON,
            "policy_version": 1,
            "updated_at": NOON,
        }
        await self._insert("users", values | given)

    async def merged(self, user_id: str, into: str, **claim: Any) -> None:
        """Put in an id that is another user's, and the claim by which it is."""
        await self.user(user_id, merged_into=into)
        await self.claim(user_id, into, **claim)

    async def claim(self, claimed: str, target: str, **given: Any) -> None:
        values = {
            "claimed": claimed,
            "target": target,
            "at": NOON,
            "source": "web",
            "event_id": f"{claimed}>{target}",
            "fault": None,
            "decided_at": NOON,
        }
        await self._insert("identity_claims", values | given)

    async def merge(self, absorbed: str, into_user: str, **given: Any) -> None:
        values = {
            "merged_at": NOON,
            "absorbed": absorbed,
            "into_user": into_user,
            "from_user": absorbed,
            "source": "web",
            "event_id": f"{absorbed}>{into_user}",
            "at": NOON,
            "events_moved": 5,
            "steps_retracted": 2,
            "steps_written": 1,
        }
        await self._insert("merges", values | given)

    async def transition(self, **given: Any) -> UUID:
        transition_id = given.pop("transition_id", None) or uuid4()
        values = {
            "transition_id": transition_id,
            "at": NOON,
            "user_id": "ann",
            "kind": "lifecycle",
            "before": "active",
            "after": "silent",
            "recorded_at": NOON,
            "reason": "time_passed",
            "policy_version": 1,
            "evidence": '{"silent_for_s": 604800.0}',
        }
        values |= given
        await self._connection.execute(
            "SELECT ensure_transitions_partition(($1::timestamptz AT TIME ZONE 'UTC')::date)",
            values["at"],
        )
        await self._insert("transitions", values)
        return UUID(str(transition_id))

    async def alert(self, **given: Any) -> UUID:
        alert_id = uuid4()
        values = {
            "alert_id": alert_id,
            "kind": "user_churned",
            "state": "firing",
            "severity": "warning",
            "user_id": "ann",
            "summary": "User ann has churned",
            "evidence": '{"last_seen": "2026-02-01T00:00:00Z"}',
            "owner": "retention",
            "playbook": "user_churned",
            "transition_id": uuid4(),
            "fired_at": NOON,
            "recorded_at": NOON,
        }
        await self._insert("alerts", values | given)
        return alert_id

    async def dead_letter(self, dead_letter_id: str, **given: Any) -> None:
        values = {
            "dead_letter_id": dead_letter_id,
            "code": "invalid_json",
            "reason": "not JSON",
            "origin": "ingest",
            "topic": topics.DEAD_LETTER.name,
            "part": 0,
            "kafka_offset": 7,
            "value": b"{",
            "refused_at": NOON,
        }
        await self._insert("dead_letters", values | given)

    async def partition(self, part: int, **given: Any) -> None:
        """Put in how far a partition of the events topic is folded, in place of what was said."""
        values = {
            "grp": GROUP,
            "topic": topics.EVENTS.name,
            "part": part,
            "next_offset": 10,
            "end_offset": 10,
            "watermark": NOON,
        }
        values |= given
        await self._connection.execute(
            "DELETE FROM consumer_partition WHERE grp = $1 AND topic = $2 AND part = $3",
            values["grp"],
            values["topic"],
            values["part"],
        )
        await self._insert("consumer_partition", values)

    async def worker(self, name: str, *, alive_for_s: float = 60.0, **given: Any) -> None:
        """Put in a worker whose lease runs so much longer, by the database's clock."""
        values = {"grp": GROUP, "worker": name, "leaving": False} | given
        alive_until = await self._connection.fetchval(
            "SELECT clock_timestamp() + make_interval(secs => $1)", alive_for_s
        )
        await self._insert("consumer_worker", values | {"alive_until": alive_until})

    async def funnel(self, **given: Any) -> int:
        """Put in a funnel of two steps and return its id."""
        values = {
            "name": "checkout",
            "steps": '[{"event": "Viewed"}, {"event": "Ordered"}]',
            "window_s": 3_600,
            "state": "live",
            "created_at": NOON,
        }
        await self._insert("funnels", values | given)
        made: int = await self._connection.fetchval("SELECT max(funnel_id) FROM funnels")
        return made

    async def entered(self, funnel_id: int, day: date, *users: int, shard: int = 0) -> None:
        """Put in how many users who entered on the day made the first step, the first two, …"""
        for step, number in enumerate(users, 1):
            values = {"funnel_id": funnel_id, "day": day, "step": step}
            await self._insert("funnel_counts", values | {"shard": shard, "users": number})

    async def job(self, **given: Any) -> UUID:
        """Put in a job that waits and return its id."""
        values = {"kind": "policy_apply", "requested_by": "ops", "created_at": NOON}
        job_id = uuid4()
        await self._insert("jobs", values | {"job_id": job_id, "updated_at": NOON} | given)
        return job_id

    async def _insert(self, table: str, values: Mapping[str, Any]) -> None:
        columns = ", ".join(values)
        places = ", ".join(f"${number}" for number in range(1, len(values) + 1))
        # Names come from this file and its tests alone.
        statement = f"INSERT INTO {table} ({columns}) VALUES ({places})"  # noqa: S608
        await self._connection.execute(statement, *values.values())
