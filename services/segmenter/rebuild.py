"""`python -m services.segmenter.rebuild`: the event log → what every user and count should be, and what differs.

Started by `ebbtide rebuild`, which reads its lines of JSON. Settings come from EBBTIDE_*, as the segmenter's do.
"""

import argparse
import asyncio
import signal
import sys
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import NamedTuple
from zoneinfo import ZoneInfo

from pydantic import Field

from services.segmenter.domain.calendar import Calendar
from services.segmenter.domain.rebuilding import Verdict
from services.segmenter.inbound.marks_mender import MarksMender, MarksPlaces
from services.segmenter.inbound.mender import Manner, Mender, Places
from services.segmenter.inbound.rebuild_lines import Lines
from services.segmenter.outbound import rebuild_shadow, rebuild_snapshot, zones
from services.segmenter.outbound.funnel_log import PostgresFunnelLog
from services.segmenter.outbound.identity_store import PostgresIdentities
from services.segmenter.outbound.mending_desk import PostgresMendingDesk
from services.segmenter.outbound.partitions import Partitions
from services.segmenter.outbound.profile_store import PostgresStore
from services.segmenter.outbound.rebuild_marks import PostgresMarksToMend
from services.segmenter.outbound.rebuild_shadow import PostgresShadow
from services.segmenter.outbound.rebuild_snapshot import PostgresSnapshot
from services.segmenter.settings import Settings
from services.segmenter.usecases.ports import ZoneMoved
from services.segmenter.usecases.rebuild import (
    Progress,
    Reader,
    Rules,
    compare_cells,
    compare_users,
)
from services.segmenter.usecases.rebuild_funnels import compare_marks
from shared.clock import clock_from
from shared.configuration import LogFormat, check_zone, load
from shared.database import session
from shared.database.connection import Connection, translated
from shared.errors import InvalidConfiguration, StoreUnavailable
from shared.observability.logging import configure_logging
from shared.process import worker_name
from shared.vocabulary import is_text

SERVICE = "segmenter"
NOTHING, DIFFERENCES, USAGE, NO_STORE, INTERRUPTED = 0, 1, 2, 3, 130
# Users who are looked at together before each is mended: for less than a second.
AT_ONCE = 100
USERS_PER_S = 500.0
# Of the command that starts this: what its neighbours are told is no mistake here.
OTHERS = ("WRITE_KEY",)


class RebuildSettings(Settings):
    """The segmenter's, without the broker that a rebuild does not ask."""

    kafka_bootstrap: str = Field("not-asked:9092", description="not used")


class Refused(Exception):
    """The rebuild can't begin; the message says why."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What is to be done. `user_ids` None: everybody, and the counters. `zone`: the product's, from now on."""

    swap: bool
    user_ids: Sequence[str] | None
    rate: float
    zone: str | None


class Rebuild:
    """One rebuild: what it reads from, what it compares, and what it mends."""

    def __init__(
        self,
        settings: Settings,
        asked: Asked,
        lines: Lines,
        *,
        shadow: type[PostgresShadow] = PostgresShadow,
    ) -> None:
        self._settings = settings
        self._asked = asked
        self._lines = lines
        self._shadow = shadow
        self._dsn = settings.postgres_dsn.get_secret_value()
        self._worker = settings.worker or f"rebuild-{worker_name()}"
        self._clock = clock_from(settings.clock_file)

    async def run(self) -> int:
        """Return the exit status. Raises Refused, StoreUnavailable."""
        async with AsyncExitStack() as stack:
            reading = await stack.enter_async_context(
                rebuild_snapshot.connected(self._dsn, worker=self._worker)
            )
            shadow = await stack.enter_async_context(
                rebuild_shadow.opened(
                    self._dsn, live=reading, worker=self._worker, shadow=self._shadow
                )
            )
            await self._begin(shadow)
            async with rebuild_snapshot.taken(
                reading,
                group=self._settings.group,
                with_funnels=self._asked.user_ids is None,
            ) as snapshot:
                calendar = Calendar(ZoneInfo(await snapshot.zone() or self._settings.product_zone))
                progress = await self._compare(snapshot, shadow, calendar)
            if not self._asked.swap:
                self._lines.done(progress)
                return DIFFERENCES if self._lines.kinds else NOTHING
            left = await self._mend(reading, shadow, calendar, progress)
            self._lines.done(progress, left=left.users, marks_left=left.marks)
            return DIFFERENCES if any(left) else NOTHING

    async def _begin(self, shadow: PostgresShadow) -> None:
        if not await shadow.begin():
            raise Refused("another rebuild is at it")
        zone = self._asked.zone
        if zone is None:
            return
        if await shadow.is_in_use(group=self._settings.group):
            raise Refused(
                "--zone: segmenters run, and count the days of the old one; stop them first"
            )
        if not await shadow.move_to(zone):
            raise Refused(
                "--zone: a new funnel is still counted in days of the old one; let segmenters finish it, or"
                " delete it"
            )

    async def _compare(
        self, snapshot: PostgresSnapshot, shadow: PostgresShadow, calendar: Calendar
    ) -> Progress:
        rules = Rules(await snapshot.times(), calendar)
        user_ids = self._asked.user_ids
        if user_ids is not None:
            user_ids = await _roots(snapshot, user_ids)
        total = await snapshot.users() if user_ids is None else len(user_ids)
        reader = Reader(snapshot, rules, user_ids=user_ids)
        progress = await compare_users(
            reader,
            rules,
            shadow=shadow,
            now=self._clock.now(),
            tell=partial(self._tell, total),
        )
        if user_ids is None:
            of_funnels = await compare_marks(
                snapshot,
                shadow,
                calendar,
                held_since=rules.times.held_since,
                tell=self._lines.marks,
            )
            progress.marks_differing = of_funnels.differing
            progress.funnels_left_out = of_funnels.left_out
            swap_in = str(calendar.zone) if self._asked.swap else None
            await compare_cells(shadow, swap_in=swap_in, tell=self._lines.cells)
        return progress

    def _tell(self, total: int, progress: Progress, verdicts: Sequence[Verdict]) -> None:
        for each in verdicts:
            self._lines.verdict(each)
        done = min(progress.looked_at, total)
        self._lines.progress("comparing", done, total, events=progress.events)

    async def _mend(
        self, reading: Connection, shadow: PostgresShadow, calendar: Calendar, progress: Progress
    ) -> "_Left":
        """Mend everybody who differs, and then marks of funnels."""
        room = Partitions(self._dsn, worker=self._worker)
        writing = _Writing(self._dsn, self._worker, str(calendar.zone))
        mender = self._mender(reading, writing, room, calendar)
        done = left = marks_left = 0
        try:
            async for user_id, is_right in mender.mend_all(_noted(shadow)):
                done += 1
                if is_right:
                    self._lines.mended["users"] += 1
                else:
                    left += 1
                    self._lines.left(user_id)
                self._lines.progress("mending", done, progress.differing)
            marks_left = await self._mend_marks(shadow, writing, calendar, progress)
        finally:
            await writing.close()
            await room.stop()
        return _Left(left, marks_left)

    def _mender(
        self, reading: Connection, writing: "_Writing", room: Partitions, calendar: Calendar
    ) -> Mender:
        settings = self._settings
        return Mender(
            Places(
                partial(rebuild_snapshot.taken, reading, group=settings.group),
                writing.transaction,
                PostgresStore,
                PostgresMendingDesk,
                room,
            ),
            Manner(
                settings.group,
                calendar,
                timedelta(seconds=settings.live_window_s),
                self._clock,
                self._asked.rate,
            ),
        )

    async def _mend_marks(
        self, shadow: PostgresShadow, writing: "_Writing", calendar: Calendar, progress: Progress
    ) -> int:
        """Mend users' marks of funnels; return how many are left."""
        mender = MarksMender(
            MarksPlaces(
                writing.transaction,
                PostgresMarksToMend,
                PostgresFunnelLog,
                PostgresMendingDesk,
                PostgresIdentities,
            ),
            calendar=calendar,
            clock=self._clock,
            rate=self._asked.rate,
        )
        done = left = 0
        async for mended in mender.mend_all(_noted_marks(shadow)):
            done += len(mended.funnel_ids)
            if mended.is_right:
                self._lines.mended["marks"] += len(mended.funnel_ids)
            else:
                left += len(mended.funnel_ids)
                self._lines.left(mended.user_id, mended.funnel_ids)
            self._lines.progress("mending funnels", done, progress.marks_differing)
        return left


class _Left(NamedTuple):
    """How many users could not be mended, and how many users' marks of a funnel."""

    users: int
    marks: int


class _Writing:
    """The connection on which users are mended, with a lane's own limits; made anew where it was lost.

    Who was cut off for long may no longer be the only rebuild, nor know the zone.
    """

    def __init__(self, dsn: str, worker: str, zone: str) -> None:
        self._dsn = dsn
        self._worker = worker
        self._zone = zone
        self._connection: Connection | None = None

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Connection]:
        if self._connection is None or self._connection.is_closed():
            self._connection = await session.connect(self._dsn, worker=self._worker)
        with translated():
            async with self._connection.transaction():
                await zones.stand_by(self._connection, self._zone)
                yield self._connection

    async def close(self) -> None:
        if self._connection is not None:
            await session.close(self._connection)


async def _noted(shadow: PostgresShadow) -> AsyncIterator[Sequence[str]]:
    behind = ""
    while user_ids := await shadow.differing(behind=behind, limit=AT_ONCE):
        yield user_ids
        behind = user_ids[-1]


async def _noted_marks(shadow: PostgresShadow) -> AsyncIterator[Mapping[str, Sequence[int]]]:
    behind = ""
    while page := await shadow.differing_marks(behind=behind, limit=AT_ONCE):
        yield page
        behind = max(page)


async def _roots(snapshot: PostgresSnapshot, user_ids: Sequence[str]) -> Sequence[str]:
    """Return the ids with the users whose they are."""
    homes = await snapshot.homes(user_ids)
    return sorted({*user_ids, *homes.values()})


def main() -> int:
    asked = _asked()
    try:
        settings = load(RebuildSettings, service=SERVICE, others=OTHERS)
    except InvalidConfiguration as error:
        return _refuse(str(error), USAGE)
    configure_logging(service=SERVICE, level="WARNING", json=settings.log_format is LogFormat.JSON)
    lines = Lines(sys.stdout, clock=time.monotonic)
    try:
        return asyncio.run(_until_told(Rebuild(settings, asked, lines)))
    except (Refused, ZoneMoved) as error:
        return _refuse(str(error), USAGE)
    except StoreUnavailable as error:
        return _refuse(f"Postgres does not do what it must: {error}", NO_STORE)
    except (KeyboardInterrupt, asyncio.CancelledError):
        lines.stopped()
        return INTERRUPTED


async def _until_told(rebuild: Rebuild) -> int:
    """Run to the end, or until SIGTERM, which lets go in order; a second one ends the process at once."""
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    assert task is not None  # noqa: S101  this runs in one

    def stop() -> None:
        loop.remove_signal_handler(signal.SIGTERM)
        task.cancel()

    loop.add_signal_handler(signal.SIGTERM, stop)
    return await rebuild.run()


def _asked() -> Asked:
    parser = argparse.ArgumentParser(
        prog="python -m services.segmenter.rebuild", description=__doc__
    )
    parser.add_argument("--swap", action="store_true", help="mend what differs")
    parser.add_argument(
        "--user", action="append", help="only this user; may be given several times"
    )
    parser.add_argument("--rate", type=float, default=USERS_PER_S, help="users mended a second")
    parser.add_argument("--zone", help="the product's time zone from now on")
    given = parser.parse_args()
    for user in given.user or ():
        if not is_text(user):
            parser.error(f"--user {user!r}: an id is UTF-8, and this is not")
    if not given.rate > 0:
        parser.error(f"--rate {given.rate}: it must be above 0")
    if given.zone is not None:
        if not given.swap or given.user:
            parser.error("--zone goes with --swap, and not with --user")
        try:
            check_zone(given.zone)
        except ValueError as error:
            parser.error(f"--zone: {error}")
    return Asked(given.swap, given.user, given.rate, given.zone)


def _refuse(why: str, status: int) -> int:
    sys.stderr.write(f"ebbtide: {why}\n")
    return status


if __name__ == "__main__":
    raise SystemExit(main())
