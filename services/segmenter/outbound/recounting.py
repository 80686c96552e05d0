"""The database as evidence against itself: one snapshot of a sample, looked at by one process at a time."""

from calendar import monthrange
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import date, datetime, timedelta
from itertools import pairwise
from typing import Any

from services.segmenter.domain.active_days import ActiveDays
from services.segmenter.domain.calendar import Calendar
from services.segmenter.domain.counters import DAY, MONTH, OLDEST_DAY, OLDEST_WEEK, WEEK
from services.segmenter.domain.deadlines import Deadline
from services.segmenter.domain.origin import Origin, least, origin_of
from services.segmenter.domain.policy import Policies
from services.segmenter.domain.reconciling import Activity, UserRecord
from services.segmenter.domain.spans import Span
from services.segmenter.outbound import recount_sql as sql
from services.segmenter.outbound.channel_book import read_channels
from services.segmenter.outbound.profile_store import PostgresStore
from services.segmenter.usecases.reconcile import RecountedCells, Report, Sampled
from shared.database import session
from shared.database.connection import Connection, translated
from shared.vocabulary import Lifecycle, TransitionReason

MOST_SCANNED = 2_000_000  # users: some seconds of one core
RUNS_KEPT = 10_000
_SHORTEST = timedelta(microseconds=1)
_HOUR = timedelta(hours=1)

_MINE = "SELECT pg_try_advisory_lock(hashtext('ebbtide.reconciliation'))"
# Nobody waits for it: it only reads, and may take its time where there is much.
_PATIENT = """
SET statement_timeout = '60s'; SET transaction_timeout = '120s';
SET idle_in_transaction_session_timeout = '30s'; SET idle_session_timeout = '60s'
"""


class Recounting:
    """Keeps the port `Evidence` in one transaction that only reads."""

    def __init__(self, connection: Connection, *, most_scanned: int = MOST_SCANNED) -> None:
        self._connection = connection
        self._most_scanned = most_scanned

    async def policies(self) -> Policies:
        return await PostgresStore(self._connection).policies()

    async def users(self, number: int) -> Sequence[Sampled]:
        pages = await self._value(sql.PAGES)
        percent = min(100.0, 100.0 * (number + 1) / pages)
        rows = await self._rows(sql.SAMPLE, number, percent)
        roots = [row["user_id"] for row in rows]
        root_of = {row["user_id"]: row["merged_into"] for row in await self._rows(sql.IDS, roots)}
        root_of |= {root: root for root in roots}
        held_since = await self._value(sql.HELD_SINCE)
        activity = await self._activity(root_of)
        steps: dict[str, list[Any]] = {}
        for user_id, *step in await self._rows(sql.STEPS, roots):
            steps.setdefault(user_id, []).append(step)
        return [
            Sampled(
                _record(row, steps.get(row["user_id"], ())),
                activity.get(row["user_id"], Activity((), Origin()))
                if held_since is None or row["first_seen"] >= held_since
                else None,
            )
            for row in rows
        ]

    async def cells(self, calendar: Calendar) -> Sequence[RecountedCells]:
        found = [*await self._flow_cells(calendar), *await self._flow_months()]
        if await self._value(sql.USERS) <= self._most_scanned:
            for period in (DAY, WEEK, MONTH):
                found += await self._active_cells(period)
            for period, oldest, days in ((DAY, OLDEST_DAY, 1), (WEEK, OLDEST_WEEK, 7)):
                found += await self._retained_cells(period, oldest=oldest, days=days)
        return found

    async def _activity(self, root_of: Mapping[str, str]) -> dict[str, Activity]:
        """Return what each user did, under whichever of their ids."""
        instants: dict[str, list[datetime]] = {}
        for user_id, at in await self._rows(sql.INSTANTS, list(root_of)):
            instants.setdefault(root_of[user_id], []).append(at)
        firsts = {root: min(of_user) for root, of_user in instants.items()}
        ids = [each for each, root in root_of.items() if root in firsts]
        rows = await self._rows(sql.PAYLOADS, ids, [firsts[root_of[each]] for each in ids])
        _, channels = await read_channels(self._connection)
        origins: dict[str, list[Origin]] = {}
        for user_id, payload in rows:
            origin = channels.counted(origin_of(payload.encode()))
            origins.setdefault(root_of[user_id], []).append(origin)
        return {root: Activity(of_user, least(origins[root])) for root, of_user in instants.items()}

    async def _active_cells(self, period: str) -> list[RecountedCells]:
        start = await self._value(sql.RANDOM_PERIOD, period)
        if start is None:
            return []
        stored = await self._rows(sql.ACTIVE, period, start)
        recounted = await self._rows(sql.recount_active(_days_in(period, start)), start)
        name = (period, start.isoformat())
        return [
            RecountedCells(
                "active_users",
                field,
                _stored(stored, field, *name),
                _spread(recounted, field, *name),
            )
            for field in ("users", "new_users")
        ]

    async def _retained_cells(self, period: str, *, oldest: int, days: int) -> list[RecountedCells]:
        """Return the cells of a cohort at an age; periods are of so many days, and none is older than `oldest`."""
        chosen = await self._rows(sql.RANDOM_COHORT, period, oldest, days)
        if not chosen:
            return []
        cohort, age = chosen[0]
        name = (period, cohort.isoformat(), f"age={age}")
        stored = await self._rows(sql.RETAINED, period, cohort, age)
        recounted = await self._rows(sql.recount_retained(days), cohort, age)
        return [
            RecountedCells(
                "retention",
                "users",
                _stored(stored, "users", *name),
                _spread(recounted, "users", *name),
            )
        ]

    async def _flow_cells(self, calendar: Calendar) -> list[RecountedCells]:
        hour = await self._value(sql.RANDOM_HOUR)
        if hour is None:
            return []
        rows = await self._rows(sql.RECOUNT_FLOWS, hour, _end_of(hour, calendar))
        return [
            RecountedCells(
                "lifecycle_flows",
                "transitions",
                _stored(await self._rows(sql.FLOWS, hour), "transitions", hour.isoformat()),
                _spread(rows, "transitions", hour.isoformat()),
            )
        ]

    async def _flow_months(self) -> list[RecountedCells]:
        """Return what a month's hours add up to, as kept beside them, and as added up anew."""
        month = await self._value(sql.RANDOM_MONTH)
        if month is None:
            return []
        name = ("month", month.isoformat())
        stored = await self._rows(sql.FLOWS_OF_MONTH, month)
        hours = await self._rows(sql.FLOWS_OF_ITS_HOURS, month)
        return [
            RecountedCells(
                "lifecycle_flows",
                "transitions",
                _stored(stored, "transitions", *name),
                _stored(hours, "transitions", *name),
            )
        ]

    async def _rows(self, query: str, *given: Any) -> list[Any]:
        with translated():
            rows: list[Any] = await self._connection.fetch(query, *given)
        return rows

    async def _value(self, query: str, *given: Any) -> Any:
        with translated():
            return await self._connection.fetchval(query, *given)


class Reconciliations:
    """Takes samples and keeps what they came to, on a connection that is open for one beat."""

    def __init__(self, connection: Connection, *, most_scanned: int = MOST_SCANNED) -> None:
        self._connection = connection
        self._most_scanned = most_scanned

    @asynccontextmanager
    async def evidence(self) -> AsyncIterator[Recounting]:
        """Open one moment of the database. Raises StoreUnavailable."""
        with translated():
            transaction = self._connection.transaction(isolation="repeatable_read", readonly=True)
            await transaction.start()
        try:
            yield Recounting(self._connection, most_scanned=self._most_scanned)
        finally:
            with translated():
                await transaction.rollback()

    async def keep(self, report: Report) -> None:
        """Write a run with its differences, and let the oldest go. Raises StoreUnavailable."""
        with translated():
            async with self._connection.transaction():
                run = await self._connection.fetchval(
                    sql.ADD_RUN,
                    report.at,
                    report.users_checked,
                    report.users_skipped,
                    report.users_differing,
                    report.cells_checked,
                    report.cells_differing,
                )
                await self._connection.execute(sql.ADD_DIFFERENCES, run, *_columns(report))
                for statement in (sql.FORGET_DIFFERENCES, sql.FORGET_RUNS):
                    await self._connection.execute(statement, run - RUNS_KEPT)


@asynccontextmanager
async def opened(dsn: str, *, worker: str) -> AsyncIterator[Reconciliations | None]:
    """Open it; None while another process has it open. Raises StoreUnavailable."""
    connection = await session.connect(dsn, worker=worker)
    try:
        with translated():
            await connection.execute(_PATIENT)
            mine = await connection.fetchval(_MINE)
        yield Reconciliations(connection) if mine else None
    finally:
        await session.close(connection)


def _record(row: Mapping[str, Any], steps: Iterable[Sequence[Any]]) -> UserRecord:
    spans = [Span(*pair) for pair in list(pairwise(row["earlier_spans"]))[::2]]
    first_day, deadline = row["first_day"], row["deadline"]
    return UserRecord(
        user_id=row["user_id"],
        policy_version=row["policy_version"],
        spans=(*spans, Span(row["span_start"], row["last_seen"])),
        days=None if first_day is None else _days(first_day, row["days"]),
        origin=Origin(row["channel"], row["platform"]),
        event_count=row["event_count"],
        lifecycle=Lifecycle(row["lifecycle"]),
        lifecycle_since=row["lifecycle_since"],
        deadline=None if deadline is None else Deadline(deadline, Lifecycle(row["deadline_to"])),
        steps=[
            (
                at,
                None if before is None else Lifecycle(before),
                Lifecycle(after),
                TransitionReason(reason),
                version,
            )
            for at, before, after, reason, version in steps
        ],
    )


def _days_in(period: str, start: date) -> int:
    if period == MONTH:
        _, days = monthrange(start.year, start.month)
        return days
    return 7 if period == WEEK else 1


def _days(first_day: date, stored: bytes) -> ActiveDays:
    return ActiveDays.from_bytes(first_day.toordinal(), stored)


def _stored(rows: Sequence[Any], field: str, *name: str) -> dict[tuple[str, ...], int]:
    """Return the counts by cell; what names the cell besides its dimension comes last."""
    return {
        (*name, f"{row['dimension']}={row['value']}", *_flow(row)): row[field]
        for row in rows
        if row[field]
    }


def _spread(rows: Sequence[Any], field: str, *name: str) -> dict[tuple[str, ...], int]:
    """Return the counts of users by origin as those of the cells that they are in."""
    counts: Counter[tuple[str, ...]] = Counter()
    for row in rows:
        for cell in ("all=", f"channel={row['channel']}", f"platform={row['platform']}"):
            counts[(*name, cell, *_flow(row))] += row[field]
    return dict(counts)


def _flow(row: Mapping[str, Any]) -> tuple[str, ...]:
    return (f"{row['before']}>{row['after']}",) if "after" in row else ()


def _end_of(hour: datetime, calendar: Calendar) -> datetime:
    """Return when an hour of the local clock ends: where the clock is changed, sooner."""
    latest = calendar.hour_of(hour + _HOUR - _SHORTEST)
    return latest if latest > hour else hour + _HOUR


def _columns(report: Report) -> list[list[str | None]]:
    found = report.differences
    return [
        [each.kind for each in found],
        [each.subject for each in found],
        [each.field for each in found],
        [each.stored for each in found],
        [each.recounted for each in found],
    ]
