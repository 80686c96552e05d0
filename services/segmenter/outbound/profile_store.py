"""Users, history and event log in Postgres, on the lane's connection and in its transaction."""

from collections.abc import AsyncIterator, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import date, datetime, timedelta

import asyncpg

from services.segmenter.domain.counters import Cells
from services.segmenter.domain.policy import Policies, Policy
from services.segmenter.domain.profile import Profile
from services.segmenter.domain.spans import Logged
from services.segmenter.domain.transition import Transition
from services.segmenter.outbound import activity_sql, history_sql, user_rows, users_sql
from services.segmenter.outbound.counter_sql import JOBS_SHARD, CounterStore, shard_of
from services.segmenter.outbound.event_lines import EVENT_COLUMNS, event_lines
from services.segmenter.usecases.ports import (
    Due,
    DuePlace,
    EventKey,
    Folding,
    Locked,
    NoRoomYet,
    NoUser,
    Retraction,
    Rules,
    UsersMoved,
)
from shared.database.arrays import text_array
from shared.database.connection import Connection, translated

# With the versions of the funnels and channels, and the zone: a batch pays no question of its own to learn that they
# are as they were.
_RULES = """
SELECT version, new_for, silent_after, churned_after, returned_for, activated_at,
       (SELECT version FROM funnels_version) AS funnels, (SELECT version FROM channels_book) AS channels,
       (SELECT zone FROM product) AS zone
FROM policies
WHERE activated_at IS NOT NULL ORDER BY version
"""

# The ids come in order and out of a subquery: neither the planner reads thousands of them, nor does each day's
# index sort them anew; and the planner, who can't count them, looks each up by the index.
_KNOWN = """
SELECT event_id FROM events
WHERE source = $1 AND event_id = ANY ((SELECT {ids})::text[]) AND received_at >= $3
"""
_SEPARATOR = "\x1f"
_KNOWN_BY_TEXT = _KNOWN.format(ids="string_to_array($2, E'\\x1f')")
_KNOWN_BY_ARRAY = _KNOWN.format(ids="$2::text[]")


class KnownMerges:
    """Whose the ids are that were met lately: a hint, by which their users are locked in order from the start.

    What the locked rows say is what counts.
    """

    MOST = 100_000

    def __init__(self) -> None:
        self._homes: dict[str, str] = {}

    def homes(self, user_ids: Collection[str]) -> set[str]:
        if not self._homes:
            return set()
        known = self._homes
        return {known[each] for each in user_ids if each in known}

    def note(self, others: Mapping[str, NoUser]) -> None:
        if len(self._homes) > self.MOST:
            self._homes.clear()
        self._homes |= {each: row.merged_into for each, row in others.items() if row.merged_into}


class PostgresStore:
    """Keeps the port `Store`."""

    def __init__(self, connection: Connection, merges: KnownMerges | None = None) -> None:
        self._connection = connection
        self._merges = merges or KnownMerges()
        # Where the rows lay when they were locked; whoever is written since has moved.
        self._places: dict[str, user_rows.Place] = {}

    async def rules(self) -> Rules:
        with translated():
            rows = await self._connection.fetch(_RULES)
        assert rows, "the first migration activates a policy"  # noqa: S101
        (_, first), *later = ((row["activated_at"], Policy(*row[:5])) for row in rows)
        policies, row = Policies(first, tuple(later)), rows[0]
        return Rules(policies, row["funnels"], row["channels"], row["zone"])

    async def policies(self) -> Policies:
        return (await self.rules()).policies

    async def known(self, ids: Mapping[str, Collection[str]], *, since: datetime) -> set[EventKey]:
        known: set[EventKey] = set()
        with translated():
            for source, theirs in ids.items():
                rows = await self._known(source, sorted(theirs), since)
                known.update((source, row[0]) for row in rows)
        return known

    async def _known(self, source: str, ids: list[str], since: datetime) -> list[asyncpg.Record]:
        joined = _SEPARATOR.join(ids)
        if joined.count(_SEPARATOR) == len(ids) - 1:
            return list(await self._connection.fetch(_KNOWN_BY_TEXT, source, joined, since))
        return list(await self._connection.fetch(_KNOWN_BY_ARRAY, source, ids, since))

    async def lock(self, user_ids: Collection[str]) -> Locked:
        locked = await self._lock({*user_ids, *self._merges.homes(user_ids)})
        while locked.others:
            self._merges.note(locked.others)
            homes = {each.merged_into for each in locked.others.values() if each.merged_into}
            missing = homes - locked.ids()
            if not missing:
                break
            locked = locked.and_also(await self._lock(missing))
        return locked

    async def _lock(self, user_ids: Collection[str]) -> Locked:
        with translated():
            rows = await self._connection.fetch(user_rows.LOCK, text_array(sorted(user_ids)))
        self._note_places(rows)
        profiles, others = {}, {}
        for row in rows:
            if user_rows.merged_into(row) is None:
                profiles[row[0]] = user_rows.profile_of(row)
            else:
                others[row[0]] = user_rows.no_user_of(row)
        return Locked(profiles, others)

    async def lock_due(
        self,
        part: int,
        *,
        until: datetime,
        limit: int,
        besides: Collection[int] = (),
        behind: DuePlace | None = None,
    ) -> Due:
        statement, given = _due(besides, behind)
        with translated():
            found = await self._connection.fetch(statement, part, until, limit, *given)
            if not found:
                return Due((), 0)
            taken = _as_many_as_fit(found)
            ids = text_array(sorted(row["user_id"] for row in taken))
            rows = await self._connection.fetch(user_rows.LOCK_DUE, part, until, ids)
        self._note_places(rows)
        return Due(
            [user_rows.profile_of(row) for row in rows],
            len(taken),
            len(found) == limit or len(taken) < len(found),
            # Without the order of ids others of that instant may still come, whatever their ids.
            DuePlace(user_rows.due_at(taken[-1]), "" if behind is None else taken[-1]["user_id"]),
        )

    async def logged(self, user_ids: Collection[str], *, grain: timedelta) -> dict[str, Logged]:
        with translated():
            rows = await self._connection.fetch(activity_sql.LOGGED, list(user_ids), grain)
        return {row["user_id"]: activity_sql.logged_of(row) for row in rows}

    async def begin_users(self, profiles: Sequence[Profile], *, now: datetime) -> None:
        source = _chunks([users_sql.lines(profiles, now=now)])
        with translated():
            try:
                await self._connection.copy_to_table(
                    "users", source=source, columns=users_sql.BEGUN
                )
            except asyncpg.UniqueViolationError as error:
                raise UsersMoved(str(error)) from error

    async def add_users(self, profiles: Sequence[Profile], *, now: datetime) -> set[str]:
        with translated():
            rows = await self._connection.fetch(users_sql.ADD, *users_sql.columns(profiles), now)
        return {row["user_id"] for row in rows}

    async def save_users(self, profiles: Sequence[Profile], *, now: datetime) -> None:
        with translated():
            await self._connection.execute(users_sql.SAVE, *users_sql.columns(profiles), now)

    async def extend_users(self, profiles: Sequence[Profile], *, now: datetime) -> None:
        columns = users_sql.extended_columns(profiles)
        await self._write(
            profiles, (*columns, now), there=users_sql.EXTEND_THERE, by_id=users_sql.EXTEND
        )

    async def age_users(self, profiles: Sequence[Profile], *, now: datetime) -> None:
        columns = users_sql.aged_columns(profiles)
        await self._write(profiles, (*columns, now), there=users_sql.AGE_THERE, by_id=users_sql.AGE)

    async def _write(
        self, profiles: Sequence[Profile], given: Sequence[object], *, there: str, by_id: str
    ) -> None:
        """Write locked users where their rows lie. Who is not there was written since: then all by their ids."""
        places = [self._places.get(each.user_id) for each in profiles]
        known = [place for place in places if place is not None]
        with translated():
            if len(known) == len(places):
                column = users_sql.places_column(known)
                if await self._connection.execute(there, *given, column) == f"UPDATE {len(places)}":
                    return
            await self._connection.execute(by_id, *given)

    def _note_places(self, rows: Iterable[asyncpg.Record]) -> None:
        self._places |= {row[0]: user_rows.place_of(row) for row in rows}

    async def count(self, cells: Cells, *, part: int | None) -> None:
        shard = JOBS_SHARD if part is None else shard_of(part)
        await CounterStore().add(self._connection, cells, shard)

    async def add_events(self, events: Sequence[Folding], *, part: int) -> None:
        if not events:
            return
        with translated(), _room_wanted():
            await self._connection.copy_to_table(
                "events", source=_chunks(event_lines(events, part=part)), columns=EVENT_COLUMNS
            )

    async def add_transitions(self, transitions: Sequence[Transition]) -> None:
        months = {each.at.date().replace(day=1) for each in transitions}
        with translated(), _room_wanted(months):
            await self._connection.copy_to_table(
                "transitions",
                source=_chunks([history_sql.lines(transitions)]),
                columns=history_sql.COLUMNS,
            )

    async def retract(
        self, retractions: Sequence[Retraction], *, now: datetime, because: str
    ) -> list[Transition]:
        given = [history_sql.key(each) for each in retractions]
        instants = [each.step.at for each in retractions]
        with translated():
            rows = await self._connection.fetch(
                history_sql.RETRACT,
                *(list(column) for column in zip(*given, strict=True)),
                now,
                because,
                min(instants),
                max(instants),
            )
        return [history_sql.transition_of(row) for row in rows]


def _due(besides: Collection[int], behind: DuePlace | None) -> tuple[str, tuple[object, ...]]:
    """Return the statement that finds who is due, with its last parameters."""
    if behind is not None:
        return user_rows.DUE_BEHIND, (list(besides), *behind)
    if besides:
        return user_rows.DUE_BESIDES, (list(besides),)
    return user_rows.DUE_FIRST, ()


def _as_many_as_fit(due: Sequence[asyncpg.Record]) -> Sequence[asyncpg.Record]:
    """Return the first of the users, at least one, who have no more than so many spans together."""
    spans = 0
    for number, row in enumerate(due):
        spans += row["spans"]
        if spans > user_rows.MOST_SPANS and number:
            return due[:number]
    return due


@contextmanager
def _room_wanted(months: Collection[date] = ()) -> Iterator[None]:
    """Tell a missing partition from data that a table refuses: Postgres reports both alike.

    Only a refusal names its constraint. The words can't tell: they follow the server's language.
    """
    try:
        yield
    except asyncpg.CheckViolationError as error:
        if error.constraint_name is None:
            raise NoRoomYet(str(error), months=months) from error
        raise


async def _chunks(chunks: Iterable[bytes]) -> AsyncIterator[bytes]:
    """Give the driver bytes as it takes them: bytes themselves it would take for a file's name."""
    for chunk in chunks:
        yield chunk
